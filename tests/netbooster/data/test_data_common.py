# SPDX-License-Identifier: Apache-2.0
"""What holds for every data set, the preprocessing, and the seeded orders."""

import json
from collections import Counter
from itertools import islice

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from netbooster.common.errors import NetBoosterError
from netbooster.data import DataConfig, Preprocess, dataset_names, load_dataset
from netbooster.data.sampling import EpochShuffle, generator

SYNTHETIC = ("digits", "glyphs")


@pytest.mark.parametrize("name", SYNTHETIC)
@pytest.mark.parametrize("channels", [1, 3])
def test_shapes_types_and_ranges(name, channels):
    dataset = load_dataset(DataConfig(name=name, resolution=24, channels=channels))
    images, labels = next(dataset.train_batches(batch_size=16, seed=0))
    assert images.shape == (16, channels, 24, 24) and images.dtype == torch.uint8
    assert labels.shape == (16,) and labels.dtype == torch.int64
    assert images.is_contiguous()
    assert images.min() < 60 < 190 < images.max()
    assert labels.min() >= 0 and labels.max() < len(dataset.labels)
    images, labels = next(dataset.split("val", limit=10))
    assert images.shape == (10, channels, 24, 24) and images.dtype == torch.uint8
    assert len(labels) == 10


@pytest.mark.parametrize("name", SYNTHETIC)
def test_batch_depends_on_seed_and_step_only(name):
    config = DataConfig(name=name, resolution=16)
    whole = list(islice(load_dataset(config).train_batches(batch_size=40, seed=3), 40))
    for start in (1, 17, 39):
        resumed = next(load_dataset(config).train_batches(batch_size=40, seed=3, start_step=start))
        assert torch.equal(resumed[0], whole[start][0])
        assert torch.equal(resumed[1], whole[start][1])
    other = next(load_dataset(config).train_batches(batch_size=40, seed=4))
    assert not torch.equal(other[0], whole[0][0])
    assert not torch.equal(whole[0][0], whole[1][0])


@pytest.mark.parametrize("name", SYNTHETIC)
@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_fixed_split_repeats_and_limit_only_cuts(name, split):
    config = DataConfig(name=name, resolution=16)
    first, second = (load_dataset(config) for _ in range(2))
    long = [torch.cat(parts) for parts in zip(*first.split(split, limit=300), strict=True)]
    short = [torch.cat(parts) for parts in zip(*second.split(split, limit=260), strict=True)]
    assert len(long[0]) == min(300, first.split_size(split))
    assert torch.equal(long[0][: len(short[0])], short[0])
    assert torch.equal(long[1][: len(short[1])], short[1])
    assert all(len(labels) <= 256 for _, labels in first.split(split, limit=300))
    assert not list(first.split(split, limit=0))


@pytest.mark.parametrize("name", SYNTHETIC)
def test_fingerprint_follows_what_changes_the_data(name):
    base = DataConfig(name=name, resolution=16)
    prints = {
        load_dataset(config).fingerprint()
        for config in (
            base,
            base.model_copy(update={"resolution": 24}),
            base.model_copy(update={"channels": 1}),
            base.model_copy(update={"seed": 1}),
        )
    }
    assert len(prints) == 4
    assert load_dataset(base).fingerprint() in prints


def test_default_preprocessing_is_exactly_int8():
    preprocess = load_dataset(DataConfig(name="digits", resolution=16)).preprocess
    pixels = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).expand(1, 3, 16, 16)
    normalized = preprocess.normalize(pixels)
    assert normalized.dtype == torch.float32
    assert torch.equal(normalized * 128, pixels.float() - 128)


def test_preprocess_survives_json():
    preprocess = Preprocess(32, 3, (1.0, 2.0, 3.5), (4.0, 5.0, 6.0), 0.875)
    assert Preprocess.from_dict(json.loads(json.dumps(preprocess.to_dict()))) == preprocess


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"mean": [1.0]}, "mean"),
        ({"std": [0.0, 1.0, 1.0]}, "std"),
        ({"channels": 2}, "channels"),
        ({"resolution": "x"}, "x"),
        ({"crop_fraction": 0}, "crop_fraction"),
    ],
)
def test_broken_preprocess_is_refused(change, word):
    values = Preprocess(32, 3, (128.0,) * 3, (128.0,) * 3).to_dict() | change
    with pytest.raises(NetBoosterError, match=word):
        Preprocess.from_dict(values)


def test_preprocess_without_a_key_names_it():
    with pytest.raises(NetBoosterError, match="mean"):
        Preprocess.from_dict({"resolution": 32, "channels": 3, "std": [1, 1, 1]})


def test_unknown_names_and_unused_settings():
    assert dataset_names() == sorted(dataset_names()) and set(SYNTHETIC) < set(dataset_names())
    with pytest.raises(NetBoosterError, match="digits, flowers102, folder"):
        load_dataset(DataConfig(name="imagenot"))
    with pytest.raises(NetBoosterError, match="difficulty.*remove"):
        load_dataset(DataConfig(name="digits", difficulty=0.5))
    with pytest.raises(NetBoosterError, match="root.*remove"):
        load_dataset(DataConfig(name="glyphs", root="/tmp"))
    with pytest.raises(ValidationError):
        DataConfig(name="digits", channels=2)
    with pytest.raises(ValidationError):
        DataConfig(name="digits", colour="red")
    dataset = load_dataset(DataConfig(name="digits"))
    with pytest.raises(NetBoosterError, match="train, val or test"):
        next(dataset.split("valid"))
    with pytest.raises(NetBoosterError, match="batch_size"):
        next(dataset.train_batches(batch_size=0, seed=0))
    with pytest.raises(NetBoosterError, match="limit"):
        next(dataset.split("val", limit=-1))


@settings(max_examples=60, deadline=None)
@given(
    size=st.integers(1, 50),
    batch=st.integers(1, 70),
    seed=st.integers(0, 2**40),
    epochs=st.integers(1, 4),
)
def test_epoch_shuffle_sees_everything_once_an_epoch(size, batch, seed, epochs):
    shuffle = EpochShuffle(size, seed)
    steps = -(-size * epochs // batch)
    stream = np.concatenate([shuffle.batch(step, batch) for step in range(steps)])
    for epoch in range(epochs):
        part = stream[epoch * size : (epoch + 1) * size]
        assert sorted(part) == list(range(size))
    again = EpochShuffle(size, seed).batch(steps - 1, batch)
    assert np.array_equal(again, stream[(steps - 1) * batch : steps * batch])


def test_generator_keys_do_not_collide():
    draws = Counter(generator(a, b).integers(2**62) for a in range(20) for b in range(20))
    assert max(draws.values()) == 1
