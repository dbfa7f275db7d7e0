# SPDX-License-Identifier: Apache-2.0
"""Glyphs: letters and digits that the project renders itself, an endless training stream.

62 classes under random affine and perspective change, bending, stroke weight, neighbours in the
line of print, clutter, colour and noise. Training, validation and test use disjoint families of
faces (``glyph_faces`` says which and why). At the default difficulty a tiny network under-fits,
which is the regime of the NetBooster paper (ImageNet for networks below a million parameters).
"""

import hashlib
from collections.abc import Generator

import numpy as np
import torch

from netbooster.common.errors import NetBoosterError
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
from netbooster.data.demo.glyph_atlas import atlas, hairlines
from netbooster.data.demo.glyph_faces import CHARACTERS
from netbooster.data.demo.glyph_render import GlyphRenderer
from netbooster.data.sampling import generator

#: Fixed images of each split. "train" is a fixed sample of training faces (for training accuracy
#: and calibration); the training stream itself never ends.
SIZES: dict[SplitName, int] = {"train": 5_000, "val": 5_000, "test": 20_480}
#: Part of the key of every random draw, so that no two streams share an image.
_STREAMS: dict[str, int] = {"stream": 0, "train": 1, "val": 2, "test": 3}
#: Raise when the same key gives other images: artifacts carry it in the fingerprint.
_VERSION = 1


class Glyphs(Dataset):
    """See the module; ``config.difficulty`` scales every disturbance, 0 is clean print."""

    name = "glyphs"

    def __init__(self, config: DataConfig, preprocess: Preprocess) -> None:
        characters = CHARACTERS if config.characters is None else config.characters
        unknown = sorted(set(characters) - set(CHARACTERS))
        if unknown or len(set(characters)) != len(characters) or len(characters) < 2:
            raise NetBoosterError(
                f"data.characters: {characters!r} must hold at least two different characters "
                "of 0-9 A-Z a-z"
            )
        self.labels = list(characters)
        self.preprocess = preprocess
        self._config = config
        self._columns = [CHARACTERS.index(character) for character in characters]
        self._renderers: dict[tuple[str, str], GlyphRenderer] = {}

    def _renderer(self, split: SplitName, device: torch.device) -> GlyphRenderer:
        key = (split, str(device))
        if key not in self._renderers:
            self._renderers[key] = GlyphRenderer(
                np.ascontiguousarray(atlas(split)[:, self._columns]),
                hairlines(split),
                resolution=self._config.resolution,
                channels=self._config.channels,
                difficulty=self._config.difficulty,
                device=device,
            )
        return self._renderers[key]

    def _key(self, stream: str, seed: int, step: int) -> tuple[int, ...]:
        return (self._config.seed, _STREAMS[stream], seed, step)

    def train_batches(
        self,
        *,
        batch_size: int,
        seed: int,
        start_step: int = 0,
        device: torch.device | str | None = None,
    ) -> Generator[Batch, None, None]:
        """See ``Dataset``. Rendered on ``device``; classes are as even as the batch size allows."""
        check_batches(batch_size, seed, start_step)
        renderer = self._renderer("train", torch.device(device or "cpu"))
        classes = len(self.labels)
        while True:
            key = self._key("stream", seed, start_step)
            rng = generator(*key, 1)
            # A random stretch of the endless sequence 0, 1, .., classes - 1, 0, 1, ..
            labels = (rng.integers(classes) + np.arange(batch_size)) % classes
            labels = rng.permutation(rng.permutation(classes)[labels])
            images = renderer.render(labels, key)
            yield images, torch.from_numpy(labels).to(renderer.device)
            start_step += 1

    def split(
        self,
        name: SplitName,
        *,
        limit: int | None = None,
        device: torch.device | str | None = None,
    ) -> Generator[Batch, None, None]:
        """See ``Dataset``. Always rendered on the CPU, so that every machine sees one test set."""
        check_split(name, limit)
        size = SIZES[name]
        wanted = size if limit is None else min(limit, size)
        renderer = self._renderer(name, torch.device("cpu"))
        order = generator(*self._key(name, 0, 0), 1).permutation(size) % len(self.labels)
        for start in range(0, wanted, SPLIT_BATCH):
            # A block is always rendered whole: a limit must not change its random draws.
            labels = order[start : start + SPLIT_BATCH]
            images = renderer.render(labels, self._key(name, 0, start // SPLIT_BATCH))
            kept = min(SPLIT_BATCH, wanted - start)
            batch = images[:kept], torch.from_numpy(labels[:kept])
            yield (batch[0].to(device), batch[1].to(device)) if device else batch

    def split_size(self, name: SplitName) -> int:
        """See ``Dataset``: 5,000 train (a sample of the stream's faces), 5,000 val, 20,480 test."""
        check_split(name)
        return SIZES[name]

    def fingerprint(self) -> str:
        """See ``Dataset``: faces as rendered, settings, and the version of the renderer."""
        config = self._config
        digest = hashlib.sha256(
            repr(
                (
                    self.name,
                    _VERSION,
                    config.resolution,
                    config.channels,
                    config.difficulty,
                    config.seed,
                    self.labels,
                )
            ).encode()
        )
        names: tuple[SplitName, ...] = ("train", "val", "test")
        for split in names:
            digest.update(atlas(split).tobytes())
        return digest.hexdigest()
