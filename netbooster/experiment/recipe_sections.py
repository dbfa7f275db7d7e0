# SPDX-License-Identifier: Apache-2.0
"""The sections of a recipe that speak of what comes after training."""

from typing import Annotated, Literal

from pydantic import Field

from netbooster.common.sections import Count, NotNegative, Positive, Section


class FineTuningConfig(Section):
    """Quantization-aware fine-tuning of the finished float network."""

    steps: Count | None = None
    """Optimizer steps; absent: ``share`` of the float training's."""
    share: Annotated[float, Field(gt=0, le=1)] = 0.1
    lr: Positive = 0.002
    """Learning rate at the start of its cosine."""
    batch_size: Count | None = None
    """Absent: ``train.batch_size``."""


class QuantizationConfig(Section):
    """How the float network becomes int8."""

    method: Literal["post-training", "equalized", "quantization-aware"] = "post-training"
    """``equalized`` adds cross-layer equalization and bias correction; ``quantization-aware``
    trains on with int8 arithmetic in the forward pass."""
    calibration: Literal["min-max", "percentile", "entropy", "mse"] = "min-max"
    """How the range of an activation follows from its values over the calibration images."""
    calibration_samples: Count = 512
    """Training images from which the ranges of activations are taken."""
    max_drop: NotNegative | None = None
    """Points of validation accuracy that int8 may lose; the methods are then tried in order of
    cost, from ``method`` on, and the first that fits is taken."""
    fine_tuning: FineTuningConfig = Field(default_factory=FineTuningConfig)


class EmulateConfig(Section):
    """What runs on the emulated board."""

    images: Count = 32
    """Test images that the firmware answers."""
