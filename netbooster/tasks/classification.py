# SPDX-License-Identifier: Apache-2.0
"""Classification: which of the data set's classes an image shows."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from netbooster.common.errors import NetBoosterError
from netbooster.data import Preprocess
from netbooster.models import build_model
from netbooster.tasks.registry import register
from netbooster.training.task import Meter, Task


@dataclass(frozen=True)
class ClassPrediction:
    """What a network says of one image."""

    label: str
    score: float
    """Its probability, 0..1."""
    scores: dict[str, float]
    """The probability of every class, the likeliest first."""


class ClassificationMeter(Meter):
    """Right answers (top 1), and cross-entropy without label smoothing in nats."""

    def __init__(self, device: str | torch.device) -> None:
        self._right = torch.zeros((), dtype=torch.int64, device=device)
        self._loss = torch.zeros((), dtype=torch.float64, device=device)
        self._images = 0

    def update(self, outputs: Tensor, targets: Tensor) -> None:
        self._right += (outputs.argmax(1) == targets).sum()
        self._loss += F.cross_entropy(outputs.double(), targets, reduction="sum")
        self._images += len(targets)

    def score(self) -> float:
        return self._right.item() / self._images

    def loss(self) -> float:
        return self._loss.item() / self._images


@register
class Classification(Task):
    """One class an image. Outputs are logits [N, classes], targets the classes' numbers [N]."""

    name = "classification"
    metric = "accuracy"
    class_logits = True

    def build(self, network: str, labels: Sequence[str], preprocess: Preprocess) -> nn.Module:
        return build_model(
            network,
            num_classes=len(labels),
            resolution=preprocess.resolution,
            channels=preprocess.channels,
        )

    def head(self, model: nn.Module, labels: Sequence[str]) -> str:
        linear = [name for name, m in model.named_modules() if isinstance(m, nn.Linear)]
        if not linear or model.get_submodule(linear[-1]).out_features != len(labels):
            raise NetBoosterError(
                f"{type(model).__name__} does not end in a linear layer of {len(labels)} classes, "
                "so transfer cannot replace its classifier"
            )
        return linear[-1]

    def loss(self, outputs: Tensor, targets: Tensor, *, label_smoothing: float = 0.0) -> Tensor:
        return F.cross_entropy(outputs, targets, label_smoothing=label_smoothing)

    def right(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return (outputs.argmax(1) == targets).sum()

    def meter(self, device: str | torch.device) -> ClassificationMeter:
        return ClassificationMeter(device)

    def decode(self, outputs: Tensor, labels: Sequence[str]) -> list[ClassPrediction]:
        found = []
        for shares in outputs.float().softmax(1).tolist():
            scores = sorted(zip(labels, shares, strict=True), key=lambda pair: -pair[1])
            found.append(ClassPrediction(*scores[0], dict(scores)))
        return found
