# SPDX-License-Identifier: Apache-2.0
"""When each kernel runs and where each tensor lies."""

from deploy.schedule.flow import Flow, Piece
from deploy.schedule.join import join_flow
from deploy.schedule.memory import arena_limit
from deploy.schedule.occupancy import Buffer, Ring, plane_rows, scratch_bytes
from deploy.schedule.planner import INPUTS, SCHEDULES, Schedule, plan_schedule
from deploy.schedule.stream import PUSH, Segment, restart_of_input, stream_layers

__all__ = [
    "INPUTS",
    "PUSH",
    "SCHEDULES",
    "Buffer",
    "Flow",
    "Piece",
    "Ring",
    "Schedule",
    "Segment",
    "arena_limit",
    "join_flow",
    "plan_schedule",
    "plane_rows",
    "restart_of_input",
    "scratch_bytes",
    "stream_layers",
]
