# SPDX-License-Identifier: Apache-2.0
"""Data sets of encoded images: one training stream and one evaluation for every place they lie in.

A data set gives an :class:`ImageSource` a split, a list of labelled images that can be opened in
any order; everything else (shuffling, decoding ahead, augmentation, what a corrupt image does) is
here.
"""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torchvision.transforms import v2

from netbooster.common.errors import NetBoosterError
from netbooster.data import transforms
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
from netbooster.data.sampling import EpochShuffle, generator, shard_slice

#: Batches decoded ahead of the one in use.
_PREFETCH = 3
#: Images that a thread prepares at a time: handing over each alone costs more than its crop.
_CHUNK = 8
#: Part of the key of random draws.
_ORDER_KEY, _AUGMENT_KEY = 1, 2


@dataclass(frozen=True)
class Preset:
    """How a data set's training images are augmented.

    The defaults are the width-augmentation baseline's for ImageNet, which the paper follows.

    Attributes:
        crop: "resized" takes a random part of the image (torchvision's RandomResizedCrop);
            "padded" shifts it by up to an eighth of its size, as is usual on CIFAR.
        jitter: random brightness and saturation.
    """

    crop: transforms.CropName = "resized"
    jitter: bool = True


class ImageSource(ABC):
    """Labelled images with random access, which several threads may use at once."""

    #: int64 [N], indices into the data set's labels.
    labels: np.ndarray

    @abstractmethod
    def path(self, index: int) -> Path:
        """Where an image lies; names it in errors."""

    @abstractmethod
    def image(self, index: int, channels: int) -> Image.Image:
        """Decode an image into mode "L" (1 channel) or "RGB" (3).

        Raises:
            UnreadableImageError: it is corrupt or missing.
        """

    def __len__(self) -> int:
        return len(self.labels)


class FileSource(ImageSource):
    """Images in files of their own."""

    def __init__(self, files: list[tuple[Path, int]]) -> None:
        self.files = files
        self.labels = np.array([label for _, label in files], dtype=np.int64)

    def path(self, index: int) -> Path:
        """See ``ImageSource``."""
        return self.files[index][0]

    def image(self, index: int, channels: int) -> Image.Image:
        """See ``ImageSource``."""
        return transforms.decode(self.files[index][0], channels)


class ImageDataset(Dataset):
    """A data set that reads images from sources; a subclass sets ``labels`` and ``_sources``.

    With ``on_corrupt = "skip"`` unreadable images are left out of the fixed splits, replaced by the
    next readable one in the training stream, and listed in ``skipped``; otherwise the first one
    met stops the run with its name.
    """

    preset = Preset()

    def __init__(self, config: DataConfig, preprocess: Preprocess) -> None:
        self.preprocess = preprocess
        self._flip = config.flip
        self._skip = config.on_corrupt == "skip"
        self._workers = config.workers
        self._seed = config.seed
        self._skipped: dict[Path, str] = {}
        self._sources: dict[str, ImageSource] = {}

    @property
    def skipped(self) -> dict[Path, str]:
        """See ``Dataset``: images that turned out to be unreadable so far."""
        return dict(self._skipped)

    def _decode(self, source: ImageSource, index: int) -> Image.Image | None:
        """The decoded image, or None where it is broken and the policy is to skip."""
        try:
            return source.image(index, self.preprocess.channels)
        except transforms.UnreadableImageError as error:
            if not self._skip:
                raise
            self._skipped[source.path(index)] = str(error)
            return None

    def _training_image(
        self, index: int, transform: v2.Transform, seed: int
    ) -> tuple[np.ndarray, int]:
        source = self._sources["train"]
        for offset in range(len(source)):
            place = (index + offset) % len(source)
            image = self._decode(source, place)
            if image is not None:
                with transforms.DrawingFrom(torch.Generator().manual_seed(seed)):
                    image = transform(image)
                return transforms.to_array(image), int(source.labels[place])
        raise NetBoosterError(
            f"data set {self.name}: the training split at {source.path(0).parent} holds no "
            "readable image; replace the files"
        )

    def train_batches(
        self,
        *,
        batch_size: int,
        seed: int,
        start_step: int = 0,
        device: torch.device | str | None = None,
    ) -> Generator[Batch, None, None]:
        """See ``Dataset``. Random crop, mirror, and brightness and saturation, by the preset.

        Raises:
            NetBoosterError: an image is broken and the policy is "error".
        """
        return self.sharded_batches(
            shard=(0, 1), batch_size=batch_size, seed=seed, start_step=start_step, device=device
        )

    def sharded_batches(
        self,
        *,
        shard: tuple[int, int],
        batch_size: int,
        seed: int,
        start_step: int = 0,
        device: torch.device | str | None = None,
    ) -> Generator[Batch, None, None]:
        """See ``Dataset``; decodes its own part only."""
        check_batches(batch_size, seed, start_step)
        part = shard_slice(shard, batch_size)
        shuffle = EpochShuffle(len(self._sources["train"]), seed)
        transform = transforms.training_transform(
            self.preprocess.resolution,
            crop=self.preset.crop,
            flip=self._flip,
            jitter=self.preset.jitter,
        )
        pool = ThreadPoolExecutor(self._workers, thread_name_prefix="netbooster-decode")
        waiting: deque[list[Future[list[tuple[np.ndarray, int]]]]] = deque()

        def prepare(places: list[tuple[int, int]]) -> list[tuple[np.ndarray, int]]:
            return [self._training_image(index, transform, draw) for index, draw in places]

        def submit(step: int) -> None:
            indices = shuffle.batch(step, batch_size)
            # Drawn for the whole batch, so that an image does not depend on who prepares it.
            draws = generator(seed, _AUGMENT_KEY, step).integers(2**63, size=batch_size)
            places = list(zip(indices[part].tolist(), draws[part].tolist(), strict=True))
            chunks = (places[first : first + _CHUNK] for first in range(0, len(places), _CHUNK))
            waiting.append([pool.submit(prepare, chunk) for chunk in chunks])

        try:
            for ahead in range(_PREFETCH):
                submit(start_step + ahead)
            while True:
                items = [item for future in waiting.popleft() for item in future.result()]
                submit(start_step + _PREFETCH)
                images = torch.from_numpy(np.stack([image for image, _ in items]))
                labels = torch.tensor([label for _, label in items], dtype=torch.int64)
                yield (images.to(device), labels.to(device)) if device else (images, labels)
                start_step += 1
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def split(
        self,
        name: SplitName,
        *,
        limit: int | None = None,
        device: torch.device | str | None = None,
    ) -> Generator[Batch, None, None]:
        """See ``Dataset``. The centre, ``crop_fraction`` of the shorter side.

        Raises:
            NetBoosterError: an image is broken and the policy is "error".
        """
        check_split(name, limit)
        source = self._sources[name]
        order = generator(self._seed, _ORDER_KEY).permutation(len(source))[:limit]
        transform = transforms.evaluation_transform(self.preprocess)

        def prepare(index: int) -> tuple[np.ndarray, int] | None:
            image = self._decode(source, index)
            if image is None:
                return None
            return transforms.to_array(transform(image)), int(source.labels[index])

        with ThreadPoolExecutor(self._workers) as pool:
            for start in range(0, len(order), SPLIT_BATCH):
                prepared = pool.map(prepare, order[start : start + SPLIT_BATCH].tolist())
                items = [item for item in prepared if item is not None]
                if not items:
                    continue
                images = torch.from_numpy(np.stack([image for image, _ in items]))
                labels = torch.tensor([label for _, label in items], dtype=torch.int64)
                yield (images.to(device), labels.to(device)) if device else (images, labels)

    def split_size(self, name: SplitName) -> int:
        """See ``Dataset``. Counts images that ``split`` may still find broken and skip."""
        check_split(name)
        return len(self._sources[name])
