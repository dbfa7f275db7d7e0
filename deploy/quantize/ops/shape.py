# SPDX-License-Identifier: Apache-2.0
"""Calls that compute nothing on the device: identities, and sizes that are known before it runs."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from deploy.quantize.lowering import Call, Lowering, lowers
from deploy.quantize.tensors import FloatTensor


@lowers(
    nn.Identity,
    nn.Dropout,
    nn.Dropout2d,
    F.dropout,
    F.dropout2d,
    "contiguous",
    "clone",
    "detach",
    "float",
)
def lower_identity(lowering: Lowering, call: Call) -> FloatTensor:
    """What changes nothing at inference."""
    return call.tensor()


@lowers("size")
def lower_size(lowering: Lowering, call: Call) -> Any:
    """x.size() and x.size(dim), static."""
    shape = torch.Size(call.tensor().torch_shape)
    dim = call.get(1, "dim")
    return shape if dim is None else shape[dim]


@lowers(getattr)
def lower_attribute(lowering: Lowering, call: Call) -> Any:
    """x.shape, static."""
    if call.args[1] != "shape":
        raise call.error(f"attribute '{call.args[1]}' is not known before it runs")
    return torch.Size(call.tensor().torch_shape)
