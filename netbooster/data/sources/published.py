# SPDX-License-Identifier: Apache-2.0
"""Published data sets by name, read through torchvision: the paper's Tables 1 and 2.

Nothing is downloaded. Training takes every image that is not in the published test split, as the
recipes do that the paper follows (section 4.1); the test split is validation split, too, because
nothing is selected by it.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from netbooster.common.errors import NetBoosterError
from netbooster.data.base import Preprocess
from netbooster.data.config import DataConfig
from netbooster.data.loader import FileSource, ImageDataset, ImageSource, Preset

_VERSION = 2
_Split = tuple[ImageSource, list[str]]


@dataclass(frozen=True)
class _Entry:
    """One data set: how torchvision reads a split, and what must lie where."""

    read: Callable[[Path, str], _Split]
    splits: dict[str, tuple[str, ...]]
    """The published splits that make up "train" and "test"."""
    wanted: str
    preset: Preset = Preset(jitter=False)


class ArraySource(ImageSource):
    """Images that are in memory, uint8 [N, H, W, 3]."""

    def __init__(self, images: np.ndarray, labels: np.ndarray, place: Path) -> None:
        self.images = images
        self.labels = labels
        self._place = place

    def path(self, index: int) -> Path:
        """See ``ImageSource``."""
        return self._place / str(index)

    def image(self, index: int, channels: int) -> Image.Image:
        """See ``ImageSource``."""
        return Image.fromarray(self.images[index]).convert("L" if channels == 1 else "RGB")


class Published(ImageDataset):
    """imagenet, cifar100, cars, flowers102, food101 or pets, with the paper's augmentation.

    ImageNet: random resized crop, mirror, brightness 32/255, saturation 0.5, as the width-
    augmentation baseline trains. CIFAR-100: shift by up to 4 of 32 pixels and mirror (Tian et al.,
    2019). The others: random resized crop and mirror (Salman et al., 2020).
    """

    def __init__(self, config: DataConfig, preprocess: Preprocess) -> None:
        super().__init__(config, preprocess)
        self.name = config.name
        entry = _ENTRIES[config.name]
        self.preset = entry.preset
        self._root = _root(config, entry.wanted)
        for split, parts in entry.splits.items():
            read = [self._read(entry, part) for part in parts]
            self.labels = read[0][1]
            self._sources[split] = _joined([source for source, _ in read])
        self._sources["val"] = self._sources["test"]
        self.test_is_val = True

    def _read(self, entry: _Entry, split: str) -> _Split:
        try:
            return entry.read(self._root, split)
        except (OSError, RuntimeError, ValueError, KeyError, IndexError) as error:
            reason = " ".join(str(error).split()).split(" You can use download=True")[0]
            raise NetBoosterError(
                f"data.root: {self._root} does not hold {self.name} ({reason}); {entry.wanted}"
            ) from error

    def fingerprint(self) -> str:
        """See ``Dataset``: the names of all files or the pixels, the labels and the settings."""
        settings = (self.name, _VERSION, self._seed, self._flip, self.preprocess.to_dict())
        digest = hashlib.sha256(repr(settings).encode())
        for split in ("train", "test"):
            source = self._sources[split]
            if isinstance(source, ArraySource):
                digest.update(source.images.tobytes())
            elif isinstance(source, FileSource):
                for path, _ in source.files:
                    digest.update(f"{path.relative_to(self._root).as_posix()}\n".encode())
            digest.update(source.labels.tobytes())
        return digest.hexdigest()


def _root(config: DataConfig, wanted: str) -> Path:
    if config.root is None:
        raise NetBoosterError(
            f"data.root is missing for {config.name}: set it to a folder; {wanted}"
        )
    root = Path(config.root).expanduser()
    if not root.is_dir():
        raise NetBoosterError(f"data.root: {root} is not a folder; create it; {wanted}")
    return root


def _joined(sources: list[ImageSource]) -> ImageSource:
    if len(sources) == 1:
        return sources[0]
    files: list[tuple[Path, int]] = []
    for source in sources:
        assert isinstance(source, FileSource)
        files.extend(source.files)
    return FileSource(files)


def _files(paths: list[Any], labels: list[int]) -> FileSource:
    return FileSource([(Path(path), int(label)) for path, label in zip(paths, labels, strict=True)])


# torchvision lists the files of a data set in attributes of its own; reading through them instead
# of by index lets an error name the file, and lets every data set be decoded alike.


def _imagenet(root: Path, split: str) -> _Split:
    from torchvision.datasets import ImageFolder, ImageNet

    archives = ("meta.bin", "ILSVRC2012_devkit_t12.tar.gz")
    if any((root / name).is_file() for name in archives):
        data: Any = ImageNet(root, split)
        names = [f"{wnid} {names[0]}" for wnid, names in zip(data.wnids, data.classes, strict=True)]
    else:
        data = ImageFolder(str(root / split))
        names = data.classes
    return _files(*map(list, zip(*data.samples, strict=True))), names


def _cifar100(root: Path, split: str) -> _Split:
    from torchvision.datasets import CIFAR100

    data = CIFAR100(root, train=split == "train")
    labels = np.array(data.targets, dtype=np.int64)
    return ArraySource(np.asarray(data.data), labels, root / data.base_folder / split), data.classes


def _cars(root: Path, split: str) -> _Split:
    from torchvision.datasets import StanfordCars

    data = StanfordCars(root, split)
    return _files(*map(list, zip(*data._samples, strict=True))), [str(c) for c in data.classes]


def _flowers102(root: Path, split: str) -> _Split:
    from torchvision.datasets import Flowers102

    data = Flowers102(root, split)
    return _files(data._image_files, data._labels), list(data.classes)


def _food101(root: Path, split: str) -> _Split:
    from torchvision.datasets import Food101

    data = Food101(root, split)
    return _files(data._image_files, data._labels), list(data.classes)


def _pets(root: Path, split: str) -> _Split:
    from torchvision.datasets import OxfordIIITPet

    data = OxfordIIITPet(root, split)
    return _files(data._images, data._labels), list(data.classes)


_TRAIN_TEST: dict[str, tuple[str, ...]] = {"train": ("train",), "test": ("test",)}
_ENTRIES = {
    "imagenet": _Entry(
        _imagenet,
        {"train": ("train",), "test": ("val",)},
        "put the folders train/<wnid>/ and val/<wnid>/ there, or ILSVRC2012_devkit_t12.tar.gz, "
        "ILSVRC2012_img_train.tar and ILSVRC2012_img_val.tar (image-net.org) to have them unpacked",
        Preset(),
    ),
    "cifar100": _Entry(
        _cifar100,
        _TRAIN_TEST,
        "unpack cifar-100-python.tar.gz (cs.toronto.edu/~kriz/cifar.html) there, so that it holds "
        "cifar-100-python/train, test and meta",
        Preset("padded", jitter=False),
    ),
    "cars": _Entry(
        _cars,
        _TRAIN_TEST,
        "put Stanford Cars there as stanford_cars/cars_train/, stanford_cars/cars_test/, "
        "stanford_cars/devkit/ and stanford_cars/cars_test_annos_withlabels.mat",
    ),
    "flowers102": _Entry(
        _flowers102,
        {"train": ("train", "val"), "test": ("test",)},
        "put Oxford Flowers 102 (robots.ox.ac.uk/~vgg/data/flowers/102) there as flowers-102/jpg/, "
        "flowers-102/imagelabels.mat and flowers-102/setid.mat",
    ),
    "food101": _Entry(
        _food101,
        _TRAIN_TEST,
        "unpack food-101.tar.gz (data.vision.ee.ethz.ch/cvl/food-101.tar.gz) there, so that it "
        "holds food-101/images/ and food-101/meta/",
    ),
    "pets": _Entry(
        _pets,
        {"train": ("trainval",), "test": ("test",)},
        "unpack images.tar.gz and annotations.tar.gz (robots.ox.ac.uk/~vgg/data/pets) into "
        "oxford-iiit-pet/ there",
    ),
}
