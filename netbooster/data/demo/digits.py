# SPDX-License-Identifier: Apache-2.0
"""Digits: scikit-learn's 1,797 real handwritten digits, 8x8 pixels of 17 grey levels.

They come inside the scikit-learn package (UCI "Optical Recognition of Handwritten Digits"), so the
default data set of the demo needs no download. White ink on black.
"""

import hashlib
from collections.abc import Generator

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import Tensor

from netbooster.data.base import (
    SPLIT_BATCH,
    Batch,
    Dataset,
    Preprocess,
    SplitName,
    check_batches,
    check_split,
)
from netbooster.data.config import DataConfig
from netbooster.data.sampling import EpochShuffle, generator

_VAL_IMAGES = 200
_TEST_IMAGES = 500
#: Part of the key of random draws: the split, the augmentation.
_SPLIT_KEY, _AUGMENT_KEY = 1, 2
_VERSION = 1


def stratified_order(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A random order int64 [N] of which every stretch holds the classes in their proportions."""
    position = np.empty(len(labels))
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        # Item i of n takes place (i + a random part) / n of the whole.
        position[members] = (np.arange(len(members)) + rng.random(len(members))) / len(members)
    return np.argsort(position, kind="stable")


class Digits(Dataset):
    """1,097 training, 200 validation and 500 test images, split by class with ``config.seed``."""

    name = "digits"

    def __init__(self, config: DataConfig, preprocess: Preprocess) -> None:
        bundle = load_digits()
        self.labels = [str(digit) for digit in range(10)]
        self.preprocess = preprocess
        self._augment = config.augment
        self._seed = config.seed
        # 0..16 to 0..255
        images = torch.from_numpy(bundle.images.astype(np.float32))[:, None] * (255 / 16)
        labels = bundle.target.astype(np.int64)
        order = stratified_order(labels, generator(config.seed, _SPLIT_KEY))
        cuts = np.split(order, [_TEST_IMAGES, _TEST_IMAGES + _VAL_IMAGES])
        self._indices: dict[str, np.ndarray] = dict(
            zip(("test", "val", "train"), cuts, strict=True)
        )
        self._images = images
        self._labels = labels

    def _resample(self, images: Tensor, matrices: Tensor) -> Tensor:
        """uint8 [N, C, R, R] from float [N, 1, 8, 8] through affine ``matrices`` [N, 2, 3]."""
        size = [len(images), 1, self.preprocess.resolution, self.preprocess.resolution]
        grid = F.affine_grid(matrices, size, align_corners=False)
        sampled = F.grid_sample(
            images, grid, mode="bicubic", padding_mode="zeros", align_corners=False
        )
        pixels = sampled.round_().clamp_(0, 255).to(torch.uint8)
        return pixels.expand(-1, self.preprocess.channels, -1, -1).contiguous()

    def train_batches(
        self,
        *,
        batch_size: int,
        seed: int,
        start_step: int = 0,
        device: torch.device | str | None = None,
    ) -> Generator[Batch, None, None]:
        """See ``Dataset``: up to 12 degrees, 10% scale, 0.12 shear, 8% shift of a side."""
        check_batches(batch_size, seed, start_step)
        indices = self._indices["train"]
        shuffle = EpochShuffle(len(indices), seed)
        while True:
            chosen = indices[shuffle.batch(start_step, batch_size)]
            matrices = _identity(batch_size)
            if self._augment:
                matrices = _random_affine(generator(seed, _AUGMENT_KEY, start_step), batch_size)
            images = self._resample(self._images[torch.from_numpy(chosen)], matrices)
            labels = torch.from_numpy(self._labels[chosen])
            yield (images.to(device), labels.to(device)) if device else (images, labels)
            start_step += 1

    def split(
        self,
        name: SplitName,
        *,
        limit: int | None = None,
        device: torch.device | str | None = None,
    ) -> Generator[Batch, None, None]:
        """See ``Dataset``."""
        check_split(name, limit)
        indices = self._indices[name][:limit]
        for start in range(0, len(indices), SPLIT_BATCH):
            chosen = indices[start : start + SPLIT_BATCH]
            picked = self._images[torch.from_numpy(chosen)]
            images = self._resample(picked, _identity(len(chosen)))
            labels = torch.from_numpy(self._labels[chosen])
            yield (images.to(device), labels.to(device)) if device else (images, labels)

    def split_size(self, name: SplitName) -> int:
        """See ``Dataset``."""
        check_split(name)
        return len(self._indices[name])

    def fingerprint(self) -> str:
        """See ``Dataset``."""
        settings = (self.name, _VERSION, self._seed, self._augment, self.preprocess.to_dict())
        digest = hashlib.sha256(repr(settings).encode())
        digest.update(self._images.numpy().tobytes())
        digest.update(self._labels.tobytes())
        return digest.hexdigest()


def _identity(count: int) -> Tensor:
    return torch.eye(2, 3).expand(count, 2, 3)


def _random_affine(rng: np.random.Generator, count: int) -> Tensor:
    """Matrices float32 [N, 2, 3] for ``affine_grid``; units of half an image side."""
    angle = rng.uniform(-0.21, 0.21, count)
    scale = np.exp(rng.uniform(-0.1, 0.1, count))
    shear = rng.uniform(-0.12, 0.12, count)
    shift = rng.uniform(-0.16, 0.16, (count, 2))
    cos, sin = np.cos(angle) * scale, np.sin(angle) * scale
    rows = np.stack(
        [cos, -sin + shear * cos, shift[:, 0], sin, cos + shear * sin, shift[:, 1]], axis=1
    )
    return torch.from_numpy(rows.reshape(count, 2, 3).astype(np.float32))
