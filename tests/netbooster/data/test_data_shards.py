# SPDX-License-Identifier: Apache-2.0
"""Tar shards: random access, one stream with the folder of the same images, broken shards."""

import io
import tarfile
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from netbooster.common.errors import NetBoosterError
from netbooster.data import DataConfig, Dataset, load_dataset
from netbooster.data.sources.shards import read_index


def _png(number: int) -> bytes:
    rng = np.random.default_rng(number)
    content = io.BytesIO()
    pixels = rng.integers(0, 256, (20 + number % 3, 24, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(content, "PNG")
    return content.getvalue()


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))


def _shard(path: Path, samples: list[tuple[str, bytes, int]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for key, image, label in samples:
            _add(archive, f"{key}.cls", str(label).encode())
            _add(archive, f"{key}.png", image)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three shards of unequal length to train on, one to evaluate; 3 classes."""
    number = 0
    for shard, count in enumerate((5, 3, 7)):
        samples = [(f"n{number + i:04}", _png(number + i), (number + i) % 3) for i in range(count)]
        _shard(tmp_path / "train" / f"{shard:03}.tar", samples)
        number += count
    _shard(tmp_path / "val" / "000.tar", [(f"v{i}", _png(100 + i), i % 3) for i in range(4)])
    return tmp_path


def _load(root: Path, **settings: object) -> Dataset:
    config = {"name": "shards", "root": str(root), "resolution": 16, **settings}
    return load_dataset(DataConfig.model_validate(config))


def test_samples_labels_and_sizes(root: Path) -> None:
    dataset = _load(root)
    assert [dataset.split_size(split) for split in ("train", "val", "test")] == [15, 4, 4]
    assert dataset.labels == ["0", "1", "2"]
    (root / "labels.txt").write_text("ant\nbee\ncat\n")
    named = _load(root)
    assert named.labels == ["ant", "bee", "cat"]
    assert named.fingerprint() != dataset.fingerprint()
    (root / "labels.txt").write_text("ant\n")
    with pytest.raises(NetBoosterError, match=r"labels.txt names 1 classes.*class 2"):
        _load(root)


def test_batches_are_those_of_a_folder_with_the_same_images(root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    for split, first, count in (("train", 0, 15), ("val", 100, 4)):
        for i in range(count):
            # the folder lists by class, so number the files to give the shards' order
            path = folder / split / str((i) % 3) / f"{i:04}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(_png(first + i))
    shards = _load(root)
    files = load_dataset(DataConfig(name="folder", root=str(folder), resolution=16))

    def images(dataset: Dataset, split: str) -> set[tuple[bytes, int]]:
        return {
            (image.numpy().tobytes(), int(label))
            for batch in dataset.split(split)
            for image, label in zip(*batch, strict=True)
        }

    for split in ("train", "val"):
        assert images(shards, split) == images(files, split)
    assert shards.labels == files.labels


def test_any_step_is_reached_at_once(root: Path) -> None:
    stream = _load(root).train_batches(batch_size=6, seed=4)
    whole = list(islice(stream, 5))
    later = next(_load(root).train_batches(batch_size=6, seed=4, start_step=4))
    assert torch.equal(later[0], whole[4][0]) and torch.equal(later[1], whole[4][1])
    other = next(_load(root).train_batches(batch_size=6, seed=5))
    assert not torch.equal(other[0], whole[0][0])


@pytest.mark.parametrize("size", [2, 3])
def test_parts_of_the_processes_are_the_whole_batch(root: Path, size: int) -> None:
    whole = list(islice(_load(root).train_batches(batch_size=7, seed=0), 2))
    streams = [
        _load(root).sharded_batches(shard=(rank, size), batch_size=7, seed=0)
        for rank in range(size)
    ]
    for images, labels in whole:
        parts = [next(stream) for stream in streams]
        assert torch.equal(torch.cat([part[0] for part in parts]), images)
        assert torch.equal(torch.cat([part[1] for part in parts]), labels)
    for stream in streams:
        stream.close()


def test_generated_data_sets_are_cut_alike() -> None:
    dataset = load_dataset(DataConfig(name="digits", resolution=16, channels=1))
    images, labels = next(dataset.train_batches(batch_size=5, seed=0))
    parts = [
        next(dataset.sharded_batches(shard=(rank, 2), batch_size=5, seed=0)) for rank in (0, 1)
    ]
    assert [len(part[1]) for part in parts] == [2, 3]
    assert torch.equal(torch.cat([part[0] for part in parts]), images)
    assert torch.equal(torch.cat([part[1] for part in parts]), labels)


def test_corrupt_image_is_named_or_skipped_and_counted(root: Path) -> None:
    half = _png(3)[: len(_png(3)) // 2]
    _shard(root / "train" / "bad.tar", [("deep/x", half, 0), ("deep/y", _png(9), 1)])
    with pytest.raises(NetBoosterError, match=r"train/bad\.tar/deep/x\.png.*on_corrupt"):
        list(islice(_load(root).train_batches(batch_size=17, seed=0), 1))
    dataset = _load(root, on_corrupt="skip")
    batch = next(dataset.train_batches(batch_size=17, seed=0))
    assert len(batch[1]) == 17
    assert list(dataset.skipped) == [root / "train" / "bad.tar" / "deep" / "x.png"]


def test_index_is_kept_and_made_again_when_the_shard_changes(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shard = root / "train" / "000.tar"
    first = read_index(shard)
    with monkeypatch.context() as patch:
        patch.setattr(
            "netbooster.data.sources.shards._scan", lambda *_: pytest.fail("scanned again")
        )
        kept = read_index(shard)
    assert kept.names == first.names and (kept.offsets == first.offsets).all()
    _shard(shard, [("a", _png(1), 2)])
    assert read_index(shard).labels.tolist() == [2]


def test_broken_shards_are_named(root: Path) -> None:
    shard = root / "train" / "000.tar"
    good = shard.read_bytes()
    cases: list[tuple[bytes, str]] = [
        (good[:700], r"train/000\.tar"),
        (b"\x1f\x8b" + good, r"train/000\.tar.*uncompressed"),
        (b"", r"train/000\.tar"),
    ]
    for content, message in cases:
        shard.write_bytes(content)
        with pytest.raises(NetBoosterError, match=message) as caught:
            _load(root)
        assert "\n" not in str(caught.value)
    with tarfile.open(shard, "w") as archive:
        _add(archive, "a.png", _png(0))
    with pytest.raises(NetBoosterError, match=r"000\.tar: sample a has no \.cls"):
        _load(root)
    with tarfile.open(shard, "w") as archive:
        _add(archive, "a.png", _png(0))
        _add(archive, "a.cls", b"cat")
    with pytest.raises(NetBoosterError, match=r"a\.cls does not hold a class number"):
        _load(root)


def test_missing_shards_say_what_to_put_where(tmp_path: Path) -> None:
    with pytest.raises(NetBoosterError, match=r"data.root is missing.*train/\*\.tar"):
        load_dataset(DataConfig(name="shards"))
    with pytest.raises(NetBoosterError, match=r"train holds no \*\.tar.*sample\.cls"):
        _load(tmp_path)
