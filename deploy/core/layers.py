# SPDX-License-Identifier: Apache-2.0
"""What generated code, firmware and messages call the layers of a model."""

RUN = "nb_layer_run"  # runs any layer; reads its entry in TABLE first
TABLE = "nb_layers"
ENTRY_BYTES = 24  # sizeof(nb_layer) on a 32-bit core; nb_kernels.h asserts it


def layer_name(index: int) -> str:
    """What plan.json, counts and messages call layer ``index``."""
    return f"nb_layer_{index:03d}"
