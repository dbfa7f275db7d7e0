# SPDX-License-Identifier: Apache-2.0
"""Activations of the float network: what they are called, how they look, what values they have."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

import torch

from deploy.tflite.schema import ActivationFunctionType


class Activation(IntEnum):
    """Activations that TFLite fuses into an operator; the values are the schema's codes."""

    NONE = ActivationFunctionType.NONE
    RELU = ActivationFunctionType.RELU
    RELU_N1_TO_1 = ActivationFunctionType.RELU_N1_TO_1
    RELU6 = ActivationFunctionType.RELU6

    @property
    def bounds(self) -> tuple[float | None, float | None]:
        """Lower and upper clip, None where there is none."""
        return {
            Activation.NONE: (None, None),
            Activation.RELU: (0.0, None),
            Activation.RELU_N1_TO_1: (-1.0, 1.0),
            Activation.RELU6: (0.0, 6.0),
        }[self]

    def apply(self, values: torch.Tensor) -> torch.Tensor:
        """The activation in float; NaN stays NaN."""
        low, high = self.bounds
        return values if low is None else torch.clamp(values, min=low, max=high)


@dataclass(eq=False)
class FloatTensor:
    """An activation. ``shape`` is [1, H, W, C] or [1, C].

    ``readers`` counts the torch operators that read it; a producer may only absorb what follows
    (batch norm, activation) while there is exactly one.
    """

    name: str
    shape: tuple[int, ...]
    readers: int = 0

    @property
    def torch_shape(self) -> tuple[int, ...]:
        """The shape as torch has it: [1, C, H, W] or [1, C]."""
        if len(self.shape) != 4:
            return self.shape
        batch, height, width, channels = self.shape
        return batch, channels, height, width


class ActivationRange(NamedTuple):
    """Smallest and largest value of an activation."""

    low: float
    high: float

    def union(self, other: ActivationRange) -> ActivationRange:
        """The range that holds both."""
        return ActivationRange(min(self.low, other.low), max(self.high, other.high))
