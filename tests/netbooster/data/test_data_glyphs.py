# SPDX-License-Identifier: Apache-2.0
"""Glyphs: disjoint families of faces, balance, legibility, and the rendering of outlines."""

from collections import Counter
from itertools import combinations, islice

import numpy as np
import pytest
import torch

from netbooster.common.errors import NetBoosterError
from netbooster.data import DataConfig, load_dataset
from netbooster.data.demo import glyph_atlas
from netbooster.data.demo.glyph_faces import (
    CHARACTERS,
    EXCLUDED,
    FACES,
    faces_of,
    font_path,
    outline,
)


def test_families_do_not_cross_splits():
    splits = {
        split: {face.family for face in faces_of(split)} for split in ("train", "val", "test")
    }
    assert all(splits.values())
    for first, second in combinations(splits, 2):
        assert not splits[first] & splits[second]
    assert len({face.name for face in FACES}) == len(FACES)
    assert len(faces_of("train")) > len(FACES) / 2


def test_no_near_identical_face_crosses_splits():
    """Faces of two splits differ in most characters even after their weights are evened out."""

    def shapes(split):
        fields = glyph_atlas.atlas(split).astype(np.float32)
        # A threshold that gives every glyph the same area of ink, so that weight does not count.
        level = np.quantile(fields, 0.9, axis=(2, 3), keepdims=True)
        return fields > level

    overlaps = []
    for first, second in combinations(("train", "val", "test"), 2):
        for one in shapes(first):
            for other in shapes(second):
                both = (one & other).sum((1, 2)) / (one | other).sum((1, 2))
                overlaps.append(np.median(both))
    # STIX Monospace against its model, the typewriter face of Computer Modern, in one split.
    test = shapes("test")
    names = [face.name for face in faces_of("test")]
    one, other = test[names.index("cmtt10")], test[names.index("STIXGeneral/monospace")]
    twins = np.median((one & other).sum((1, 2)) / (one | other).sum((1, 2)))
    assert max(overlaps) < twins


def test_excluded_faces_are_not_used_and_lack_letters_where_so_said():
    used = {face.file for face in FACES}
    assert not used & set(EXCLUDED)
    from fontTools.ttLib import TTFont

    for file, reason in EXCLUDED.items():
        assert font_path(file).is_file()
        if reason == "lacks the letters":
            names = TTFont(font_path(file), lazy=True).getBestCmap()
            assert sum(ord(character) in names for character in CHARACTERS) < 62


def test_every_face_draws_62_different_characters():
    for split in ("train", "val", "test"):
        fields = glyph_atlas.atlas(split)
        assert fields.shape == (len(faces_of(split)), 62, glyph_atlas.SIZE, glyph_atlas.SIZE)
        for face in fields:
            assert len({glyph.tobytes() for glyph in face}) == 62
            assert (face > 0).any(axis=(1, 2)).all()
        edges = [fields[..., 0, :], fields[..., -1, :], fields[..., 0], fields[..., -1]]
        assert max(edge.max() for edge in edges) < 0, "a glyph touches the border of its field"


def test_missing_character_is_a_clear_error():
    with pytest.raises(NetBoosterError, match="no outline"):
        outline(FACES[0], "\U0010ffff")


def test_distance_field_of_a_ring():
    """A ring between radii 0.3 and 0.6 with a hole by opposite winding has a known distance."""
    turn = np.linspace(0, 2 * np.pi, 721)
    circle = np.stack([np.cos(turn), np.sin(turn)], axis=1)
    loops = [0.6 * circle, 0.3 * circle[::-1]]
    segments = np.concatenate([np.stack([loop[:-1], loop[1:]], axis=1) for loop in loops])
    field = glyph_atlas.distance_field(segments)
    x = glyph_atlas.pixel_centers()
    radius = np.hypot(x[None], x[:, None])
    assert np.abs(field - np.minimum(0.6 - radius, radius - 0.3)).max() < 1e-4


def test_distance_field_is_upright():
    field = glyph_atlas.atlas("train")[0, CHARACTERS.index("L")] > 0
    rows, columns = np.nonzero(field)
    bottom, top = field[rows.max()].sum(), field[rows.min()].sum()
    left, right = field[:, columns.min() + 1].sum(), field[:, columns.max()].sum()
    assert bottom > 2 * top and left > 2 * right


def test_damaged_or_unwritable_cache_is_rendered_again(tmp_path, monkeypatch):
    monkeypatch.setenv("NETBOOSTER_CACHE", str(tmp_path / "cache"))
    glyph_atlas.atlas.cache_clear()
    good = glyph_atlas.atlas("val").copy()
    (file,) = (tmp_path / "cache").iterdir()
    file.write_bytes(b"\0" * file.stat().st_size)
    glyph_atlas.atlas.cache_clear()
    assert np.array_equal(glyph_atlas.atlas("val"), good)
    (tmp_path / "no-folder").write_text("")
    monkeypatch.setenv("NETBOOSTER_CACHE", str(tmp_path / "no-folder"))
    glyph_atlas.atlas.cache_clear()
    assert np.array_equal(glyph_atlas.atlas("val"), good)
    glyph_atlas.atlas.cache_clear()


def test_classes_are_balanced():
    dataset = load_dataset(DataConfig(name="glyphs", resolution=8, channels=1))
    stream = islice(dataset.train_batches(batch_size=124, seed=1), 3)
    for _, labels in stream:
        assert set(Counter(labels.tolist()).values()) == {2}
    _, odd = next(dataset.train_batches(batch_size=100, seed=1))
    assert set(Counter(odd.tolist()).values()) == {1, 2} and len(set(odd.tolist())) == 62
    labels = torch.cat([labels for _, labels in dataset.split("val")])
    assert len(labels) == dataset.split_size("val") == 5000
    assert max(Counter(labels.tolist()).values()) - min(Counter(labels.tolist()).values()) <= 1
    assert dataset.split_size("test") >= 20_000
    # A limit still gives a mixture.
    assert len(set(labels[:124].tolist())) > 40


def test_splits_and_stream_share_no_image():
    dataset = load_dataset(DataConfig(name="glyphs", resolution=16))
    sets = [next(dataset.split(split))[0] for split in ("train", "val", "test")]
    sets.append(next(dataset.train_batches(batch_size=256, seed=0))[0])
    images = [image.numpy().tobytes() for batch in sets for image in batch]
    assert len(set(images)) == len(images)


def test_clean_print_at_difficulty_zero_is_the_glyph_itself():
    dataset = load_dataset(DataConfig(name="glyphs", resolution=32, channels=1, difficulty=0))
    images, labels = next(dataset.split("val"))
    fields = glyph_atlas.atlas("val")
    recognized = 0
    for image, label in zip(images[:80], labels.tolist(), strict=False):
        pixels = image[0].numpy().astype(float)
        ground = np.median(np.concatenate([pixels[0], pixels[-1]]))
        ink = np.abs(pixels - ground) > 40
        scores = [_overlap(ink, fields[face, kind]) for kind in range(62) for face in range(2)]
        recognized += int(np.argmax(scores)) // 2 == label
    assert recognized >= 70


def _overlap(ink, field):
    # The image shows 0.84 heights of "H" to each side, the field 0.95.
    place = (np.arange(32) + 0.5) / 16 - 1
    index = np.clip(np.rint((place * 0.84 / 0.95 + 1) * 32 - 0.5), 0, 63).astype(int)
    drawn = field[np.ix_(index, index)] > 0
    return (drawn & ink).sum() / max((drawn | ink).sum(), 1)


def test_fewer_classes_by_setting():
    dataset = load_dataset(DataConfig(name="glyphs", resolution=16, characters="7aQ"))
    assert dataset.labels == ["7", "a", "Q"]
    _, labels = next(dataset.train_batches(batch_size=30, seed=0))
    assert Counter(labels.tolist()) == {0: 10, 1: 10, 2: 10}
    for wrong in ("a", "aa", "a!", ""):
        with pytest.raises(NetBoosterError, match="characters"):
            load_dataset(DataConfig(name="glyphs", characters=wrong))


def test_difficulty_disturbs_more():
    """The share of pixels near the median colour falls as clutter and noise rise."""
    plain = []
    for difficulty in (0.0, 1.0, 2.0):
        config = DataConfig(name="glyphs", resolution=32, channels=1, difficulty=difficulty)
        images, _ = next(load_dataset(config).split("val"))
        flat = images.flatten(1).float()
        near = (flat - flat.median(1, keepdim=True).values).abs() < 8
        plain.append(near.float().mean().item())
    assert plain[0] > plain[1] + 0.1 > plain[2] + 0.1
