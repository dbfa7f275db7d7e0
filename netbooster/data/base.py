# SPDX-License-Identifier: Apache-2.0
"""What every data set gives: labelled uint8 images and the preprocessing that goes with them."""

from abc import ABC, abstractmethod
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from netbooster.common.errors import NetBoosterError
from netbooster.data.sampling import shard_slice

SplitName = Literal["train", "val", "test"]
Batch = tuple[Tensor, Tensor]

#: Most images in one batch of ``Dataset.split``.
SPLIT_BATCH = 256


@dataclass(frozen=True)
class Preprocess:
    """From a decoded image to the network's input; stored in every artifact.

    ``mean`` and ``std`` are in pixel units (0..255), one a channel. With the default of 128 and 128
    the int8 input is exactly ``pixel - 128`` (scale 1/128, zero point 0): quantizing the input
    costs no accuracy. ``crop_fraction`` is the share of the shorter side that the centre crop keeps
    when an image of any size is prepared (1 for data sets whose images have the right size).
    """

    resolution: int
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    crop_fraction: float = 1.0

    def __post_init__(self) -> None:
        if self.channels not in (1, 3) or self.resolution < 1:
            raise NetBoosterError(
                f"preprocess: channels is {self.channels} and resolution {self.resolution}; "
                "use 1 or 3 channels and a positive resolution"
            )
        if len(self.mean) != self.channels or len(self.std) != self.channels:
            raise NetBoosterError(
                f"preprocess: mean and std need {self.channels} numbers each, one a channel"
            )
        if min(self.std) <= 0 or not 0 < self.crop_fraction <= 1:
            raise NetBoosterError("preprocess: std must be positive and crop_fraction in (0, 1]")

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready form; ``from_dict`` reads it back."""
        return {
            "resolution": self.resolution,
            "channels": self.channels,
            "mean": list(self.mean),
            "std": list(self.std),
            "crop_fraction": self.crop_fraction,
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Preprocess":
        """Read what ``to_dict`` wrote.

        Raises:
            NetBoosterError: a key is missing or of the wrong kind.
        """
        try:
            return cls(
                resolution=int(values["resolution"]),
                channels=int(values["channels"]),
                mean=tuple(float(value) for value in values["mean"]),
                std=tuple(float(value) for value in values["std"]),
                crop_fraction=float(values.get("crop_fraction", 1.0)),
            )
        except KeyError as error:
            raise NetBoosterError(
                f"preprocess: key {error} is missing; write the artifact again"
            ) from error
        except (TypeError, ValueError) as error:
            raise NetBoosterError(f"preprocess: {error}; write the artifact again") from error

    def example(self, batch: int = 1) -> Tensor:
        """Zeros of the shape of a network's input: float32 [batch, C, H, W]."""
        return torch.zeros(batch, self.channels, self.resolution, self.resolution)

    def normalize(self, images: Tensor) -> Tensor:
        """uint8 images [N, C, H, W] to float32 ``(x - mean) / std`` on the same device."""
        shape = (1, self.channels, 1, 1)
        mean = torch.tensor(self.mean, dtype=torch.float32, device=images.device).view(shape)
        scale = torch.tensor(self.std, dtype=torch.float32, device=images.device).view(shape)
        return (images.to(torch.float32) - mean) / scale


class Dataset(ABC):
    """Labelled images in three splits: an endless augmented training stream and fixed sets."""

    name: str
    #: Class names; a label is an index into this list. The order travels in artifacts.
    labels: list[str]
    preprocess: Preprocess
    #: Whether there is one set of images for validation and test.
    test_is_val: bool = False

    @property
    def skipped(self) -> dict[Path, str]:
        """Files left out so far because they could not be read, with the reason.

        Empty unless the data set reads files and ``data.on_corrupt`` is "skip".
        """
        return {}

    @abstractmethod
    def train_batches(
        self,
        *,
        batch_size: int,
        seed: int,
        start_step: int = 0,
        device: torch.device | str | None = None,
    ) -> Generator[Batch, None, None]:
        """Endless augmented batches: uint8 [N, C, H, W] and int64 [N].

        Batch k depends only on ``(seed, k)`` (and the batch size), so that a run resumed at
        ``start_step`` sees what an uninterrupted one would have seen. Close the iterator when done.
        ``device``: where the batch lies, default CPU.
        """

    def sharded_batches(
        self,
        *,
        shard: tuple[int, int],
        batch_size: int,
        seed: int,
        start_step: int = 0,
        device: torch.device | str | None = None,
    ) -> Generator[Batch, None, None]:
        """The part of each of ``train_batches``' batches that one of several processes works on.

        The parts of all processes, one after another, are the whole batch. Data sets that read
        files decode their own part only.

        Args:
            shard: (number of the process, how many there are).
            batch_size: of the whole batch.
        """
        batches = self.train_batches(
            batch_size=batch_size, seed=seed, start_step=start_step, device=device
        )
        part = shard_slice(shard, batch_size)
        try:
            for images, labels in batches:
                yield images[part], labels[part]
        finally:
            if isinstance(batches, Generator):
                batches.close()

    @abstractmethod
    def split(
        self,
        name: SplitName,
        *,
        limit: int | None = None,
        device: torch.device | str | None = None,
    ) -> Generator[Batch, None, None]:
        """The fixed images of a split, not augmented, in batches of at most 256.

        The order is a fixed shuffle, so that the first ``limit`` images are a fair sample.
        """

    @abstractmethod
    def split_size(self, name: SplitName) -> int:
        """How many images ``split(name)`` gives without a limit."""

    @abstractmethod
    def fingerprint(self) -> str:
        """Hex digest of what the data is; equal digests mean equal images and labels."""


def check_split(name: str, limit: int | None = None) -> None:
    """Refuse a split name that does not exist, and a negative limit."""
    if name not in ("train", "val", "test"):
        raise NetBoosterError(f"unknown split {name!r}; use train, val or test")
    if limit is not None and limit < 0:
        raise NetBoosterError(f"split {name}: limit is {limit}; use None or a number from 0 on")


def check_batches(batch_size: int, seed: int, start_step: int) -> None:
    """Refuse arguments of ``train_batches`` that cannot be met."""
    if batch_size < 1 or seed < 0 or start_step < 0:
        raise NetBoosterError(
            f"training batches: batch_size {batch_size} must be positive, seed {seed} and "
            f"start_step {start_step} must not be negative"
        )
