# SPDX-License-Identifier: Apache-2.0
"""Rewritings of a graph before it is lowered; each keeps every output byte."""

from deploy.tflite.passes.constants import settle_constants
from deploy.tflite.passes.dead_channels import Removal, remove_dead
from deploy.tflite.passes.nested import merge_concatenations
from deploy.tflite.passes.pads import fold_pads

__all__ = ["Removal", "fold_pads", "merge_concatenations", "remove_dead", "settle_constants"]
