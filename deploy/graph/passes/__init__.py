"""Rewritings of a graph before it is lowered; each keeps every output byte."""

from deploy.graph.passes.constants import settle_constants
from deploy.graph.passes.dead_channels import Removal, remove_dead
from deploy.graph.passes.nested import merge_concatenations
from deploy.graph.passes.pads import fold_pads

__all__ = ["Removal", "fold_pads", "merge_concatenations", "remove_dead", "settle_constants"]
