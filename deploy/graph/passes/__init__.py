"""Rewritings of a graph before it is lowered; each keeps every output byte."""

from deploy.graph.passes.dead_channels import Removal, remove_dead

__all__ = ["Removal", "remove_dead"]
