# SPDX-License-Identifier: Apache-2.0
"""The score of a network on a fixed split."""

from dataclasses import dataclass

import torch
from torch import nn

from netbooster.common.errors import NetBoosterError
from netbooster.data import Dataset, SplitName
from netbooster.training.task import Task

TRAIN_IMAGES = 5000
"""Training images on which the training score is reported: evidence of under-fitting."""


@dataclass(frozen=True)
class Evaluation:
    """What a network scores on a split."""

    score: float
    """The task's, 0..1: for classification the share of right answers (top 1)."""
    loss: float
    """The mean loss of an image: for classification cross-entropy in nats, not smoothed."""
    images: int


@torch.inference_mode()
def evaluate(
    model: nn.Module,
    dataset: Dataset,
    split: SplitName,
    *,
    task: Task,
    device: str | torch.device = "cpu",
    limit: int | None = None,
    memory_format: torch.memory_format = torch.contiguous_format,
) -> Evaluation:
    """Score ``model`` in eval mode on ``split``; its training mode is put back afterwards.

    Args:
        model: takes float ``[N, C, H, W]``, normalized; gives what ``task`` understands.
        dataset: gives the images and their normalization.
        split: ``"train"`` (not augmented), ``"val"`` or ``"test"``.
        task: what the answers are compared by.
        device: where ``model`` lives.
        limit: at most so many images of the split.
        memory_format: of the images; the model's own.

    Raises:
        NetBoosterError: the split holds no image.
    """
    was_training = model.training
    model.eval()
    meter, count = task.meter(device), 0
    try:
        for images, targets in dataset.split(split, limit=limit):
            inputs = dataset.preprocess.normalize(images.to(device))
            outputs = model(inputs.contiguous(memory_format=memory_format))
            meter.update(outputs, targets.to(device))
            count += len(images)
    finally:
        model.train(was_training)
    if not count:
        raise NetBoosterError(f"data set {dataset.name}: split '{split}' holds no image")
    return Evaluation(meter.score(), meter.loss(), count)


def evaluate_splits(
    model: nn.Module,
    dataset: Dataset,
    *,
    task: Task,
    device: str | torch.device = "cpu",
    splits: tuple[SplitName, ...] = ("train", "val", "test"),
) -> dict[str, float]:
    """The task's score (0..1) by split; of the training split on its first 5,000 images."""
    return {
        split: evaluate(
            model,
            dataset,
            split,
            task=task,
            device=device,
            limit=TRAIN_IMAGES if split == "train" else None,
        ).score
        for split in splits
    }
