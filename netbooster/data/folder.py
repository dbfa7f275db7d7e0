"""A folder of images: ``train/<class>/*``, ``val/<class>/*`` and optionally ``test/<class>/*``."""

import hashlib
import os
from collections import deque
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image

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
from netbooster.data.sampling import EpochShuffle, generator
from netbooster.errors import NetBoosterError

#: Batches decoded ahead of the one in use.
_PREFETCH = 3
#: Headers checked when the data set is loaded; of larger ones an even sample is checked.
_HEADER_CHECKS = 20_000
#: Part of the key of random draws.
_ORDER_KEY, _AUGMENT_KEY, _CROP_KEY = 1, 2, 3
_VERSION = 1


class Folder(Dataset):
    """Images of any size and format that Pillow opens, one folder a class.

    Labels are the names of the class folders, sorted. Sub-folders of a class count to it; hidden
    files and files whose extension no image format has are not looked at. When ``test/`` is missing
    the test split is the validation split. Headers are checked when the data set is loaded, a file
    that is broken further in is found when it is decoded. With ``on_corrupt = "skip"`` broken files
    are left out of the fixed splits, replaced by the next readable file in the training stream, and
    listed in ``skipped``.
    """

    name = "folder"

    def __init__(self, config: DataConfig, preprocess: Preprocess) -> None:
        self.preprocess = preprocess
        self._flip = config.flip
        self._skip = config.on_corrupt == "skip"
        self._workers = config.workers
        self._seed = config.seed
        self._skipped: dict[Path, str] = {}
        self._root = _existing_root(config.root)
        self.labels = _class_names(self._root / "train")
        folders = {split: self._root / split for split in ("train", "val")}
        if (self._root / "test").is_dir():
            folders["test"] = self._root / "test"
        for folder in folders.values():
            _check_same_classes(folder, self.labels)
        self._files: dict[str, list[tuple[Path, int]]] = {
            split: self._check_headers(_list_split(folder, self.labels), folder)
            for split, folder in folders.items()
        }
        self._files.setdefault("test", self._files["val"])

    @property
    def skipped(self) -> dict[Path, str]:
        """See ``Dataset``: broken headers at once, broken bodies when they are met."""
        return dict(self._skipped)

    def _check_headers(self, files: list[tuple[Path, int]], folder: Path) -> list[tuple[Path, int]]:
        stride = -(-len(files) // _HEADER_CHECKS)
        broken: dict[Path, transforms.UnreadableImageError] = {}

        def check(path: Path) -> None:
            try:
                transforms.check_header(path)
            except transforms.UnreadableImageError as error:
                broken[path] = error

        with ThreadPoolExecutor(self._workers) as pool:
            list(pool.map(check, (path for path, _ in files[::stride])))
        if not broken:
            return files
        if not self._skip:
            raise broken[min(broken)]
        self._skipped.update({path: str(error) for path, error in broken.items()})
        kept = [(path, label) for path, label in files if path not in broken]
        left = {label for _, label in kept}
        for label, name in enumerate(self.labels):
            if label not in left:
                raise NetBoosterError(
                    f"class folder {folder / name} holds no readable image; add some or remove the "
                    "class from every split"
                )
        return kept

    def _decode(self, path: Path) -> Image.Image | None:
        """The decoded image, or None where it is broken and the policy is to skip."""
        try:
            return transforms.decode(path, self.preprocess.channels)
        except transforms.UnreadableImageError as error:
            if not self._skip:
                raise
            self._skipped[path] = str(error)
            return None

    def _training_image(self, index: int, crop: np.random.Generator) -> tuple[np.ndarray, int]:
        files = self._files["train"]
        for offset in range(len(files)):
            path, label = files[(index + offset) % len(files)]
            image = self._decode(path)
            if image is not None:
                resolution = self.preprocess.resolution
                return transforms.training_image(image, resolution, crop), label
        raise NetBoosterError(f"{self._root / 'train'} holds no readable image; replace the files")

    def train_batches(
        self,
        *,
        batch_size: int,
        seed: int,
        start_step: int = 0,
        device: torch.device | str | None = None,
    ) -> Generator[Batch, None, None]:
        """See ``Dataset``. Random resized crop, mirror, brightness and saturation.

        Raises:
            NetBoosterError: an image is broken and the policy is "error".
        """
        check_batches(batch_size, seed, start_step)
        shuffle = EpochShuffle(len(self._files["train"]), seed)
        pool = ThreadPoolExecutor(self._workers, thread_name_prefix="netbooster-decode")
        waiting: deque[list[Future[tuple[np.ndarray, int]]]] = deque()

        def submit(step: int) -> None:
            indices = shuffle.batch(step, batch_size)
            waiting.append(
                [
                    pool.submit(
                        self._training_image,
                        int(index),
                        generator(seed, _CROP_KEY, step, place),
                    )
                    for place, index in enumerate(indices)
                ]
            )

        try:
            for ahead in range(_PREFETCH):
                submit(start_step + ahead)
            while True:
                items = [future.result() for future in waiting.popleft()]
                submit(start_step + _PREFETCH)
                images = torch.from_numpy(np.stack([image for image, _ in items]))
                rng = generator(seed, _AUGMENT_KEY, start_step)
                if self._flip:
                    images = transforms.mirror(images, rng)
                images = transforms.color_jitter(images, rng)
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
        """See ``Dataset``. Shorter side to resolution / 0.875, centre crop.

        Raises:
            NetBoosterError: an image is broken and the policy is "error".
        """
        check_split(name, limit)
        files = self._files[name]
        order = generator(self._seed, _ORDER_KEY).permutation(len(files))[:limit]

        def prepare(index: int) -> tuple[np.ndarray, int] | None:
            path, label = files[index]
            image = self._decode(path)
            if image is None:
                return None
            return transforms.evaluation_image(image, self.preprocess), label

        with ThreadPoolExecutor(self._workers) as pool:
            for start in range(0, len(order), SPLIT_BATCH):
                prepared = pool.map(prepare, order[start : start + SPLIT_BATCH])
                items = [item for item in prepared if item is not None]
                if not items:
                    continue
                images = torch.from_numpy(np.stack([image for image, _ in items]))
                labels = torch.tensor([label for _, label in items], dtype=torch.int64)
                yield (images.to(device), labels.to(device)) if device else (images, labels)

    def split_size(self, name: SplitName) -> int:
        """See ``Dataset``. Counts files that ``split`` may still find broken and skip."""
        check_split(name)
        return len(self._files[name])

    def fingerprint(self) -> str:
        """See ``Dataset``: names and sizes of all files (not their content), and the settings."""
        settings = (self.name, _VERSION, self._seed, self._flip, self.preprocess.to_dict())
        digest = hashlib.sha256(repr(settings).encode())
        for split, files in self._files.items():
            for path, label in files:
                place = path.relative_to(self._root).as_posix()
                digest.update(f"{split}\0{place}\0{label}\0{path.stat().st_size}\n".encode())
        return digest.hexdigest()


def _existing_root(root: str | None) -> Path:
    wanted = "put images in train/<class>/ and val/<class>/ below it"
    if root is None:
        raise NetBoosterError(f"data.root is missing: set it to a folder and {wanted}")
    path = Path(root).expanduser()
    if not path.is_dir():
        raise NetBoosterError(f"data.root: {path} is not a folder; create it and {wanted}")
    for split in ("train", "val"):
        if not (path / split).is_dir():
            raise NetBoosterError(
                f"data.root: {path / split} is missing; put images in {split}/<class>/ there"
            )
    return path


def _subfolders(folder: Path) -> list[str]:
    try:
        return sorted(
            entry.name for entry in folder.iterdir() if entry.is_dir() and entry.name[0] != "."
        )
    except OSError as error:
        raise NetBoosterError(
            f"cannot list {folder}: {error.strerror or error}; check the folder's permissions"
        ) from error


def _class_names(folder: Path) -> list[str]:
    names = _subfolders(folder)
    if len(names) < 2:
        found = f"only the class {names[0]!r}" if names else "no class folder"
        raise NetBoosterError(
            f"{folder} holds {found}; make at least two folders of images there, one a class"
        )
    return names


def _check_same_classes(folder: Path, labels: list[str]) -> None:
    here = set(_subfolders(folder))
    if missing := sorted(set(labels) - here):
        raise NetBoosterError(
            f"{folder} lacks the class folders {_some(missing)} that train/ has; add them"
        )
    if extra := sorted(here - set(labels)):
        raise NetBoosterError(
            f"{folder} has the class folders {_some(extra)} that train/ lacks; add them to train/ "
            "or remove them"
        )


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:5])
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more"


def _list_split(folder: Path, labels: list[str]) -> list[tuple[Path, int]]:
    Image.init()
    extensions = set(Image.registered_extensions()) | {""}
    files: list[tuple[Path, int]] = []
    for label, name in enumerate(labels):
        before = len(files)
        for parent, folders, entries in os.walk(folder / name):
            folders[:] = sorted(entry for entry in folders if entry[0] != ".")
            files.extend(
                (Path(parent, entry), label)
                for entry in sorted(entries)
                if entry[0] != "." and os.path.splitext(entry)[1].lower() in extensions
            )
        if len(files) == before:
            raise NetBoosterError(
                f"class folder {folder / name} holds no image; add some or remove the class from "
                "every split"
            )
    return files
