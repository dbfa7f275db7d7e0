# SPDX-License-Identifier: Apache-2.0
"""Digits: split sizes, stratification, no image in two splits, labels that match the images."""

from itertools import islice

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier

from netbooster.data import DataConfig, load_dataset


def _all(dataset, split):
    images, labels = zip(*dataset.split(split), strict=True)
    return torch.cat(images), torch.cat(labels)


def test_split_sizes_and_class_shares():
    dataset = load_dataset(DataConfig(name="digits"))
    shares = np.bincount(load_digits().target) / 1797
    for split, size in (("train", 1097), ("val", 200), ("test", 500)):
        _, labels = _all(dataset, split)
        assert len(labels) == dataset.split_size(split) == size
        counts = np.bincount(labels.numpy(), minlength=10)
        assert np.abs(counts - shares * size).max() <= 2


def test_splits_are_disjoint_and_complete():
    dataset = load_dataset(DataConfig(name="digits", resolution=8, channels=1, seed=5))
    seen = []
    for split in ("train", "val", "test"):
        images, labels = _all(dataset, split)
        seen += [
            (label, image.numpy().tobytes())
            for image, label in zip(images, labels.tolist(), strict=True)
        ]
    # At 8x8 nothing is interpolated, so the images are the originals scaled to 0..255.
    bundle = load_digits()
    original = [
        (int(label), np.rint(image * (255 / 16)).astype(np.uint8).tobytes())
        for image, label in zip(bundle.images, bundle.target, strict=True)
    ]
    assert sorted(seen) == sorted(original)


def test_seed_of_the_config_moves_the_split():
    first = _all(load_dataset(DataConfig(name="digits", resolution=8)), "test")[0]
    other = _all(load_dataset(DataConfig(name="digits", resolution=8, seed=1)), "test")[0]
    assert not torch.equal(first, other)


def test_labels_match_after_upsampling_and_augmentation():
    """A nearest-neighbour vote among augmented training images recognizes the test images."""
    dataset = load_dataset(DataConfig(name="digits", resolution=16, channels=1))
    stream = islice(dataset.train_batches(batch_size=256, seed=0), 10)
    images, labels = (torch.cat(part) for part in zip(*stream, strict=True))
    vote = KNeighborsClassifier(3).fit(images.flatten(1), labels)
    test_images, test_labels = _all(dataset, "test")
    assert vote.score(test_images.flatten(1), test_labels) > 0.95


def test_augmentation_is_a_setting():
    plain = load_dataset(DataConfig(name="digits", resolution=16, augment=False))
    images, labels = next(plain.train_batches(batch_size=1097, seed=0))
    fixed_images, fixed_labels = _all(plain, "train")
    key = [image.numpy().tobytes() for image in images]
    assert sorted(key) == sorted(image.numpy().tobytes() for image in fixed_images)
    assert sorted(labels.tolist()) == sorted(fixed_labels.tolist())
    augmented = load_dataset(DataConfig(name="digits", resolution=16))
    moved, same_labels = next(augmented.train_batches(batch_size=1097, seed=0))
    assert torch.equal(labels, same_labels) and not torch.equal(images, moved)
