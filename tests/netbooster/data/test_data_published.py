# SPDX-License-Identifier: Apache-2.0
"""Published data sets: tiny copies in torchvision's layouts, and what is said without them."""

import json
import pickle
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from netbooster.common.errors import NetBoosterError
from netbooster.data import DataConfig, Dataset, load_dataset, transforms
from netbooster.data.sources.published import Published

NAMES = ["imagenet", "cifar100", "cars", "flowers102", "food101", "pets"]


def _image(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (24, 28, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def _imagenet(root: Path, _: pytest.MonkeyPatch) -> None:
    for split, count in (("train", 3), ("val", 2)):
        for label, wnid in enumerate(("n01", "n02")):
            for i in range(count):
                _image(root / split / wnid / f"{i}.JPEG", 10 * label + i)


def _cifar100(root: Path, patch: pytest.MonkeyPatch) -> None:
    folder = root / "cifar-100-python"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for split, count in (("train", 6), ("test", 4)):
        data = rng.integers(0, 256, (count, 3072), dtype=np.uint8)
        labels = [i % 2 for i in range(count)]
        (folder / split).write_bytes(pickle.dumps({"data": data, "fine_labels": labels}))
    (folder / "meta").write_bytes(pickle.dumps({"fine_label_names": ["apple", "bear"]}))
    # our files are not the published ones, and torchvision compares checksums
    patch.setattr("torchvision.datasets.cifar.check_integrity", lambda *_: True)


def _cars(root: Path, _: pytest.MonkeyPatch) -> None:
    from scipy.io import savemat

    base = root / "stanford_cars"
    (base / "devkit").mkdir(parents=True)
    kinds = np.dtype([("class", "O"), ("fname", "O")])
    for split, count, file in (
        ("train", 6, base / "devkit" / "cars_train_annos.mat"),
        ("test", 4, base / "cars_test_annos_withlabels.mat"),
    ):
        rows = np.array([(i % 2 + 1, f"{i:05}.jpg") for i in range(count)], dtype=kinds)
        savemat(file, {"annotations": rows})
        for i in range(count):
            _image(base / f"cars_{split}" / f"{i:05}.jpg", i)
    names = np.array(["Audi", "BMW"], dtype=object)
    savemat(base / "devkit" / "cars_meta.mat", {"class_names": names})


def _flowers102(root: Path, patch: pytest.MonkeyPatch) -> None:
    from scipy.io import savemat

    base = root / "flowers-102"
    base.mkdir()
    sets = {"trnid": [1, 2, 3], "valid": [4, 5, 6], "tstid": [7, 8, 9, 10]}
    savemat(base / "setid.mat", sets)
    savemat(base / "imagelabels.mat", {"labels": [i % 2 + 1 for i in range(10)]})
    for i in range(1, 11):
        _image(base / "jpg" / f"image_{i:05}.jpg", i)
    patch.setattr("torchvision.datasets.flowers102.check_integrity", lambda *_: True)


def _food101(root: Path, _: pytest.MonkeyPatch) -> None:
    (root / "food-101" / "meta").mkdir(parents=True)
    for split, count in (("train", 3), ("test", 2)):
        listed = {name: [f"{name}/{split}{i}" for i in range(count)] for name in ("pie", "tart")}
        (root / "food-101" / "meta" / f"{split}.json").write_text(json.dumps(listed))
        for files in listed.values():
            for i, file in enumerate(files):
                _image(root / "food-101" / "images" / f"{file}.jpg", i)


def _pets(root: Path, _: pytest.MonkeyPatch) -> None:
    base = root / "oxford-iiit-pet"
    (base / "annotations").mkdir(parents=True)
    for split, count in (("trainval", 6), ("test", 4)):
        lines = []
        for i in range(count):
            name = f"{('Bengal', 'pug')[i % 2]}_{split}{i}"
            lines.append(f"{name} {i % 2 + 1} 1 1\n")
            _image(base / "images" / f"{name}.jpg", i)
        (base / "annotations" / f"{split}.txt").write_text("".join(lines))


MAKERS: dict[str, Callable[[Path, pytest.MonkeyPatch], None]] = {
    "imagenet": _imagenet,
    "cifar100": _cifar100,
    "cars": _cars,
    "flowers102": _flowers102,
    "food101": _food101,
    "pets": _pets,
}


def _load(name: str, root: Path, on_corrupt: str = "error") -> Dataset:
    config = {"name": name, "root": str(root), "resolution": 16, "on_corrupt": on_corrupt}
    return load_dataset(DataConfig.model_validate(config))


@pytest.mark.parametrize("name", NAMES)
def test_tiny_copy_is_read(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    MAKERS[name](tmp_path, monkeypatch)
    dataset = _load(name, tmp_path)
    assert dataset.name == name
    # flowers: the published validation split is trained on, too
    assert [dataset.split_size(split) for split in ("train", "val", "test")] == [6, 4, 4]
    images, labels = next(dataset.train_batches(batch_size=6, seed=0))
    assert images.shape == (6, 3, 16, 16)
    assert sorted(labels.tolist()) == [0, 0, 0, 1, 1, 1]
    assert len(dataset.labels) == (102 if name == "flowers102" else 2)
    images, labels = next(dataset.split("test"))
    assert images.shape == (4, 3, 16, 16) and sorted(labels.tolist()) == [0, 0, 1, 1]
    again = _load(name, tmp_path)
    assert again.fingerprint() == dataset.fingerprint()


@pytest.mark.parametrize("name", NAMES)
def test_absent_data_set_says_what_to_put_where(name: str, tmp_path: Path) -> None:
    with pytest.raises(NetBoosterError, match=f"data.root is missing for {name}"):
        load_dataset(DataConfig(name=name))
    with pytest.raises(NetBoosterError, match=r"is not a folder; create it; (put|unpack)"):
        _load(name, tmp_path / "nowhere")
    with pytest.raises(NetBoosterError, match=rf"does not hold {name} .*; (put|unpack)") as caught:
        _load(name, tmp_path)
    message = str(caught.value)
    assert "\n" not in message and "download=True" not in message


def test_imagenet_with_its_devkit_has_class_names(tmp_path: Path) -> None:
    _imagenet(tmp_path, pytest.MonkeyPatch())
    torch.save(({"n01": ("crane", "bird"), "n02": ("crane",)}, []), tmp_path / "meta.bin")
    assert _load("imagenet", tmp_path).labels == ["n01 crane", "n02 crane"]


def test_corrupt_image_in_the_middle_of_an_epoch(tmp_path: Path) -> None:
    _food101(tmp_path, pytest.MonkeyPatch())
    broken = tmp_path / "food-101" / "images" / "pie" / "train1.jpg"
    broken.write_bytes(broken.read_bytes()[:200])
    with pytest.raises(NetBoosterError, match=str(broken)):
        list(islice(_load("food101", tmp_path).train_batches(batch_size=2, seed=0), 3))
    dataset = _load("food101", tmp_path, "skip")
    assert all(
        len(labels) == 2 for _, labels in islice(dataset.train_batches(batch_size=2, seed=0), 3)
    )
    assert list(dataset.skipped) == [broken]


def test_presets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _cifar100(tmp_path, monkeypatch)
    _imagenet(tmp_path, monkeypatch)
    cifar, imagenet = _load("cifar100", tmp_path), _load("imagenet", tmp_path)
    assert isinstance(cifar, Published) and isinstance(imagenet, Published)
    assert (cifar.preset.crop, cifar.preset.jitter) == ("padded", False)
    assert (imagenet.preset.crop, imagenet.preset.jitter) == ("resized", True)
    assert cifar.preprocess.crop_fraction == 1.0
    assert imagenet.preprocess.crop_fraction == 0.875


def test_padded_crop_shifts_by_up_to_an_eighth() -> None:
    image = Image.new("L", (32, 32), 255)
    transform = transforms.training_transform(32, crop="padded", jitter=False)
    seen = set()
    for seed in range(60):
        with transforms.DrawingFrom(torch.Generator().manual_seed(seed)):
            pixels = transforms.to_array(transform(image))[0]
        assert set(np.unique(pixels)) <= {0, 255}
        rows, columns = np.flatnonzero(pixels.any(1)), np.flatnonzero(pixels.any(0))
        assert 28 <= len(rows) <= 32 and 28 <= len(columns) <= 32
        seen.add((32 - len(rows)) * (1 if rows[0] == 0 else -1))
    assert seen == set(range(-4, 5))
