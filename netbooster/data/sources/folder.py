# SPDX-License-Identifier: Apache-2.0
"""A folder of images: ``train/<class>/*``, ``val/<class>/*`` and optionally ``test/<class>/*``."""

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image

from netbooster.common.errors import NetBoosterError
from netbooster.data import transforms
from netbooster.data.base import Preprocess
from netbooster.data.config import DataConfig
from netbooster.data.loader import FileSource, ImageDataset

#: Headers checked when the data set is loaded; of larger ones an even sample is checked.
_HEADER_CHECKS = 20_000
_VERSION = 2


class Folder(ImageDataset):
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
        super().__init__(config, preprocess)
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
        self.test_is_val = "test" not in self._files
        self._files.setdefault("test", self._files["val"])
        self._sources.update({split: FileSource(files) for split, files in self._files.items()})

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
