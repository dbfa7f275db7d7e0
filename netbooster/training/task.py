# SPDX-License-Identifier: Apache-2.0
"""What the loop asks of a task: the network's head, the loss, the score, what answers mean."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from netbooster.data import Preprocess

Outputs = Any
"""What a network of a task gives for a batch: one tensor, or a tuple of them."""


class Meter(ABC):
    """Adds up, batch by batch, what a split's score and loss follow from."""

    @abstractmethod
    def update(self, outputs: Outputs, targets: Tensor) -> None:
        """Take in the answers to a batch; both lie on the network's device."""

    @abstractmethod
    def score(self) -> float:
        """The task's score over all images so far, 0..1."""

    @abstractmethod
    def loss(self) -> float:
        """The mean loss of an image so far."""


class Task(ABC):
    """A task: what images are asked for. It keeps no state, so that one object serves all runs.

    Targets of a batch are one tensor whose first axis is the image; a task whose images have
    different numbers of targets pads them.
    """

    name: ClassVar[str]
    """What a recipe calls it."""
    metric: ClassVar[str]
    """What its score is called in metrics and artifacts."""
    class_logits: ClassVar[bool] = False
    """Whether outputs are logits [N, classes], which distillation needs."""

    @abstractmethod
    def build(self, network: str, labels: Sequence[str], preprocess: Preprocess) -> nn.Module:
        """The named network with this task's head, random weights (torch's global generator).

        Raises:
            NetBoosterError: an unknown network, or one that cannot take such images.
        """

    @abstractmethod
    def head(self, model: nn.Module, labels: Sequence[str]) -> str:
        """Name of the module that other labels replace when a network is transferred.

        Raises:
            NetBoosterError: the network has no such module.
        """

    @abstractmethod
    def loss(self, outputs: Outputs, targets: Tensor, *, label_smoothing: float = 0.0) -> Tensor:
        """What training minimizes, a scalar: the mean over the images of the batch."""

    @abstractmethod
    def right(self, outputs: Outputs, targets: Tensor) -> Tensor:
        """Sum over the images of a cheap score, 0..1 each, that is shown while training runs."""

    @abstractmethod
    def meter(self, device: str | torch.device) -> Meter:
        """A new meter for evaluation, whose sums lie on ``device``."""

    @abstractmethod
    def decode(self, outputs: Outputs, labels: Sequence[str]) -> list[Any]:
        """What the outputs of a batch say, an answer for each image."""

    def describe(self, scores: dict[str, float]) -> str:
        """Scores by split as a person reads them."""
        return f"{', '.join(f'{k} {v:.2%}' for k, v in scores.items())} {self.metric}"
