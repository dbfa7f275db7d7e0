# SPDX-License-Identifier: Apache-2.0
"""Images in tar shards, as WebDataset lays them out: ImageNet at scale without a million files."""

import hashlib
import io
import json
import tarfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from netbooster.common.errors import NetBoosterError
from netbooster.common.files import write_atomic
from netbooster.data import transforms
from netbooster.data.base import Preprocess
from netbooster.data.config import DataConfig
from netbooster.data.loader import ImageDataset, ImageSource

_VERSION = 2
_IMAGES = frozenset({"jpg", "jpeg", "png", "webp", "bmp", "ppm", "pgm"})
_LABEL = "cls"
_WANTED = (
    "put train/*.tar and val/*.tar there (and test/*.tar, labels.txt with one class name a line, "
    "if you have them); in a shard, sample.jpg and sample.cls (the class number) make one sample"
)


@dataclass(frozen=True)
class _Index:
    """Where the samples of one shard lie: names, and int64 offsets, sizes and labels [N]."""

    names: list[str]
    offsets: np.ndarray
    sizes: np.ndarray
    labels: np.ndarray


class ShardSource(ImageSource):
    """The samples of several shards, in order of shards and of samples inside them."""

    def __init__(self, shards: list[Path], indices: list[_Index]) -> None:
        self._shards = shards
        self._indices = indices
        self.labels = np.concatenate([index.labels for index in indices])
        self._ends = np.cumsum([len(index.labels) for index in indices])

    def _place(self, index: int) -> tuple[Path, _Index, int]:
        shard = int(np.searchsorted(self._ends, index, side="right"))
        before = int(self._ends[shard - 1]) if shard else 0
        return self._shards[shard], self._indices[shard], index - before

    def path(self, index: int) -> Path:
        """See ``ImageSource``: ``shard.tar/name``."""
        shard, table, place = self._place(index)
        return shard / table.names[place]

    def image(self, index: int, channels: int) -> Image.Image:
        """See ``ImageSource``."""
        shard, table, place = self._place(index)
        try:
            with shard.open("rb") as stream:
                stream.seek(int(table.offsets[place]))
                content = stream.read(int(table.sizes[place]))
        except OSError as error:
            raise transforms.UnreadableImageError(
                f"cannot read image {shard / table.names[place]}: {error.strerror or error}"
            ) from error
        return transforms.decode(shard / table.names[place], channels, content)


class Shards(ImageDataset):
    """``train/*.tar``, ``val/*.tar`` and optionally ``test/*.tar``, not compressed.

    Any sample is read by its offset, so batches depend on seed and step alone, as everywhere, and
    no order of shards has to be kept for resuming. Offsets are found once, by reading the headers
    of every shard, and kept beside it as ``<shard>.index.json`` where the folder can be written.
    Without ``labels.txt`` classes are named by their numbers. Without ``test/`` the test split is
    the validation split.
    """

    name = "shards"

    def __init__(self, config: DataConfig, preprocess: Preprocess) -> None:
        super().__init__(config, preprocess)
        root = _root(config.root)
        self._shards: dict[str, list[Path]] = {}
        sources: dict[str, ShardSource] = {}
        for split in ("train", "val", "test"):
            shards = sorted((root / split).glob("*.tar"))
            if not shards and split != "test":
                raise NetBoosterError(f"data.root: {root / split} holds no *.tar; {_WANTED}")
            if shards:
                with ThreadPoolExecutor(self._workers) as pool:
                    indices = list(pool.map(read_index, shards))
                sources[split], self._shards[split] = ShardSource(shards, indices), shards
        sources.setdefault("test", sources["val"])
        self._sources.update(sources)
        self.labels = _class_names(root, max(int(s.labels.max()) for s in sources.values()) + 1)

    def fingerprint(self) -> str:
        """See ``Dataset``: names and sizes of the shards, all labels, and the settings."""
        settings = (self.name, _VERSION, self._seed, self._flip, self.preprocess.to_dict())
        digest = hashlib.sha256(repr((settings, self.labels)).encode())
        for split, shards in self._shards.items():
            for shard in shards:
                digest.update(f"{split}\0{shard.name}\0{shard.stat().st_size}\n".encode())
            digest.update(self._sources[split].labels.tobytes())
        return digest.hexdigest()


def read_index(shard: Path) -> _Index:
    """Find the samples of a shard, from ``<shard>.index.json`` where that is up to date.

    Raises:
        NetBoosterError: the shard is truncated, compressed or no tar, or a sample lacks its image
            or its class; names shard and sample.
    """
    try:
        state = shard.stat()
        stamp = [_VERSION, state.st_size, state.st_mtime_ns]
        kept = shard.with_name(f"{shard.name}.index.json")
        if kept.is_file():
            content = json.loads(kept.read_text(encoding="utf-8"))
            if content["stamp"] == stamp:
                return _table(content["samples"])
        samples = _scan(shard, state.st_size)
    except (OSError, tarfile.TarError, ValueError, KeyError, TypeError) as error:
        raise NetBoosterError(
            f"cannot read shard {shard}: {' '.join(str(error).split())}; write it again as an "
            "uncompressed tar, or delete the .index.json beside it"
        ) from error
    # In a read-only folder there is no index: it only saves time.
    with suppress(NetBoosterError):
        write_atomic(kept, json.dumps({"stamp": stamp, "samples": samples}))
    return _table(samples)


_Sample = tuple[str, int, int, int]


def _scan(shard: Path, length: int) -> list[_Sample]:
    """(member, offset, size, label) of every sample, in order of the images in the shard."""
    images: dict[str, tuple[str, int, int]] = {}
    labels: dict[str, int] = {}
    with shard.open("rb") as stream, tarfile.open(fileobj=stream, mode="r:") as archive:
        for member in archive:
            folder, slash, file = member.name.rpartition("/")
            stem, _, extension = file.partition(".")
            key, extension = f"{folder}{slash}{stem}", extension.lower()
            if not member.isreg() or not stem:
                continue
            if member.offset_data + member.size > length:
                raise ValueError(f"it ends in the middle of {member.name}")
            if extension in _IMAGES:
                images[key] = (member.name, member.offset_data, member.size)
            elif extension == _LABEL:
                content = archive.extractfile(member) or io.BytesIO()
                labels[key] = _number(content.read(32), member.name)
    if not images:
        raise ValueError("it holds no image")
    for key in [*images, *labels]:
        if key not in labels or key not in images:
            raise ValueError(f"sample {key} has no {'image' if key in labels else '.cls'}")
    return [(*place, labels[key]) for key, place in images.items()]


def _number(text: bytes, name: str) -> int:
    if not text.strip().isdigit():
        raise ValueError(f"{name} does not hold a class number")
    return int(text)


def _table(samples: list[_Sample]) -> _Index:
    names, *numbers = zip(*samples, strict=True)
    offsets, sizes, labels = (np.array(column, dtype=np.int64) for column in numbers)
    return _Index(list(names), offsets, sizes, labels)


def _root(root: str | None) -> Path:
    if root is None:
        raise NetBoosterError(f"data.root is missing for shards: set it to a folder; {_WANTED}")
    path = Path(root).expanduser()
    if not path.is_dir():
        raise NetBoosterError(f"data.root: {path} is not a folder; create it; {_WANTED}")
    return path


def _class_names(root: Path, count: int) -> list[str]:
    file = root / "labels.txt"
    if not file.is_file():
        return [str(number) for number in range(count)]
    names = [line.strip() for line in file.read_text(encoding="utf-8").splitlines()]
    names = [name for name in names if name]
    if len(names) < count:
        raise NetBoosterError(
            f"{file} names {len(names)} classes, but the shards hold class {count - 1}; add names"
        )
    return names
