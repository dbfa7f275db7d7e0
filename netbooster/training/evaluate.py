"""Accuracy of a network on a fixed split."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from netbooster.common.errors import NetBoosterError
from netbooster.data import Dataset, SplitName

TRAIN_IMAGES = 5000
"""Training images on which training accuracy is reported: evidence of under-fitting."""


@dataclass(frozen=True)
class Evaluation:
    """What a network scores on a split."""

    accuracy: float
    """Share of right answers (top 1), 0..1."""
    loss: float
    """Mean cross-entropy without label smoothing, in nats."""
    images: int


@torch.inference_mode()
def evaluate(
    model: nn.Module,
    dataset: Dataset,
    split: SplitName,
    *,
    device: str | torch.device = "cpu",
    limit: int | None = None,
    memory_format: torch.memory_format = torch.contiguous_format,
) -> Evaluation:
    """Score ``model`` in eval mode on ``split``; its training mode is put back afterwards.

    Args:
        model: takes float ``[N, C, H, W]``, normalized; gives logits ``[N, classes]``.
        dataset: gives the images and their normalization.
        split: ``"train"`` (not augmented), ``"val"`` or ``"test"``.
        device: where ``model`` lives.
        limit: at most so many images of the split.
        memory_format: of the images; the model's own.

    Raises:
        NetBoosterError: the split holds no image.
    """
    was_training = model.training
    model.eval()
    correct = torch.zeros((), dtype=torch.int64, device=device)
    loss = torch.zeros((), dtype=torch.float64, device=device)
    count = 0
    try:
        for images, labels in dataset.split(split, limit=limit):
            inputs = dataset.preprocess.normalize(images.to(device))
            logits = model(inputs.contiguous(memory_format=memory_format))
            labels = labels.to(device)
            correct += (logits.argmax(1) == labels).sum()
            loss += F.cross_entropy(logits.double(), labels, reduction="sum")
            count += len(labels)
    finally:
        model.train(was_training)
    if not count:
        raise NetBoosterError(f"data set {dataset.name}: split '{split}' holds no image")
    return Evaluation(correct.item() / count, loss.item() / count, count)


def evaluate_splits(
    model: nn.Module,
    dataset: Dataset,
    *,
    device: str | torch.device = "cpu",
    splits: tuple[SplitName, ...] = ("train", "val", "test"),
) -> dict[str, float]:
    """Accuracy (0..1) by split; of the training split on its first 5,000 images."""
    return {
        split: evaluate(
            model,
            dataset,
            split,
            device=device,
            limit=TRAIN_IMAGES if split == "train" else None,
        ).accuracy
        for split in splits
    }
