"""When each kernel runs and where each tensor lies."""

from deploy.schedule.memory import MemoryPlan, Region, place_regions, plan_memory

__all__ = ["MemoryPlan", "Region", "place_regions", "plan_memory"]
