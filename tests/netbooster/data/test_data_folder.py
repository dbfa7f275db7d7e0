"""Folder: labels, decoding, augmentation, random access, and every kind of broken input."""

import io
from itertools import islice

import numpy as np
import pytest
import torch
from PIL import Image

from netbooster.common.errors import NetBoosterError
from netbooster.data import DataConfig, load_dataset, transforms

COLOURS = {"blue": (20, 40, 220), "green": (30, 200, 40), "red": (220, 30, 30)}


@pytest.fixture
def root(tmp_path):
    """Three classes of plainly coloured images of several sizes and formats."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 10), ("val", 4)):
        for name, colour in COLOURS.items():
            folder = tmp_path / split / name
            folder.mkdir(parents=True)
            for index in range(count):
                size = tuple(rng.integers(30, 90, 2))
                image = Image.new("RGB", size, colour)
                image.putpixel((0, 0), (0, 0, index))
                image.save(folder / f"{index}.{('png', 'jpg', 'bmp')[index % 3]}")
    return tmp_path


def _config(root, **settings):
    return DataConfig(name="folder", root=str(root), resolution=16, **settings)


def _name_of(image):
    color = image.float().mean((1, 2))
    return min(COLOURS, key=lambda name: (color - torch.tensor(COLOURS[name])).abs().sum().item())


def _damage(path):
    """Cut a valid file in its middle: the header stays readable."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _noise_png(path):
    rng = np.random.default_rng(1)
    Image.fromarray(rng.integers(0, 256, (60, 60, 3), dtype=np.uint8)).save(path)


def test_labels_sorted_and_right_in_training_and_evaluation(root):
    dataset = load_dataset(_config(root))
    assert dataset.labels == ["blue", "green", "red"]
    assert [dataset.split_size(split) for split in ("train", "val", "test")] == [30, 12, 12]
    for images, labels in [
        next(dataset.train_batches(batch_size=30, seed=0)),
        next(dataset.split("val")),
        next(dataset.split("test")),
    ]:
        assert images.shape[1:] == (3, 16, 16) and images.dtype == torch.uint8
        names = [dataset.labels[label] for label in labels.tolist()]
        assert names == [_name_of(image) for image in images]
        assert set(names) == set(COLOURS)


def test_test_folder_is_used_when_there(root):
    for name, colour in COLOURS.items():
        (root / "test" / name).mkdir(parents=True)
        Image.new("RGB", (20, 20), colour).save(root / "test" / name / "only.png")
    dataset = load_dataset(_config(root))
    assert dataset.split_size("test") == 3 and dataset.split_size("val") == 12


def test_an_epoch_sees_every_image_once_and_resumes_anywhere(root):
    dataset = load_dataset(_config(root, flip=False))
    _, labels = next(dataset.train_batches(batch_size=30, seed=2))
    assert torch.bincount(labels).tolist() == [10, 10, 10]
    whole = list(islice(dataset.train_batches(batch_size=7, seed=2), 9))
    for start in (0, 4, 8):
        again = next(
            load_dataset(_config(root, flip=False, workers=1)).train_batches(
                batch_size=7, seed=2, start_step=start
            )
        )
        assert torch.equal(again[0], whole[start][0]) and torch.equal(again[1], whole[start][1])


def test_fixed_split_is_mixed_and_repeats(root):
    first = next(load_dataset(_config(root)).split("val", limit=6))
    second = next(load_dataset(_config(root)).split("val"))
    assert torch.equal(first[0], second[0][:6]) and len(set(first[1].tolist())) > 1


def test_one_channel(root):
    images, _ = next(load_dataset(_config(root, channels=1)).split("val"))
    assert images.shape == (12, 1, 16, 16)


def test_evaluation_image_against_torchvision():
    """Resize to r / 0.875 and centre crop, within the rounding of one resampling instead of two."""
    from torchvision.transforms import functional as tv

    config = DataConfig(name="folder", resolution=56)
    rng = np.random.default_rng(0)
    smooth = rng.integers(0, 256, (6, 9, 3), dtype=np.uint8)
    image = Image.fromarray(smooth).resize((300, 200), Image.Resampling.BICUBIC)
    from netbooster.data import Preprocess

    preprocess = Preprocess(config.resolution, 3, (128.0,) * 3, (128.0,) * 3, 0.875)
    ours = transforms.evaluation_image(image, preprocess)
    theirs = np.asarray(tv.center_crop(tv.resize(image, 64), 56)).transpose(2, 0, 1)
    assert np.abs(ours.astype(int) - theirs).max() <= 6


def test_random_crop_boxes_stay_inside_and_vary():
    rng = np.random.default_rng(0)
    for width, height in ((100, 80), (1, 1), (3, 500), (500, 3), (64, 64)):
        boxes = [transforms.random_crop_box(rng, width, height) for _ in range(200)]
        for left, upper, right, lower in boxes:
            assert 0 <= left < right <= width and 0 <= upper < lower <= height
        if min(width, height) >= 64:
            areas = [(b[2] - b[0]) * (b[3] - b[1]) / (width * height) for b in boxes]
            assert min(areas) < 0.2 and max(areas) > 0.8 and min(areas) > 0.07


def test_flip_and_colour_jitter():
    images = torch.arange(64, dtype=torch.uint8).view(1, 1, 8, 8).repeat(200, 3, 1, 1)
    flipped = transforms.mirror(images, np.random.default_rng(0))
    same = (flipped == images).flatten(1).all(1)
    assert 60 < same.sum() < 140
    assert torch.equal(flipped[~same], images[~same].flip(3))
    grey = torch.full((200, 3, 4, 4), 100, dtype=torch.uint8)
    jittered = transforms.color_jitter(grey, np.random.default_rng(0)).float()
    assert jittered.min() >= 87 and jittered.max() <= 113 and jittered.std() > 5
    red = torch.zeros(200, 3, 1, 1, dtype=torch.uint8)
    red[:, 0] = 200
    spread = transforms.color_jitter(red, np.random.default_rng(0)).float()
    assert (spread[:, 0] - spread[:, 1]).std() > 10


def test_exif_orientation_is_applied(tmp_path):
    image = Image.new("RGB", (20, 10), "black")
    image.paste("white", (0, 0, 10, 10))
    exif = Image.Exif()
    exif[0x0112] = 6  # stored turned: rotate 90 degrees clockwise to view
    image.save(tmp_path / "turned.jpg", exif=exif, quality=95)
    upright = np.asarray(transforms.decode(tmp_path / "turned.jpg", 1))
    assert upright.shape == (20, 10)
    assert upright[:8].min() > 200 and upright[12:].max() < 50


def test_modes_become_eight_bits(tmp_path):
    ramp = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    Image.fromarray(ramp).save(tmp_path / "deep.png")
    deep = np.asarray(transforms.decode(tmp_path / "deep.png", 1))
    assert np.array_equal(deep, (ramp >> 8).astype(np.uint8))
    clear = Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    clear.save(tmp_path / "clear.png")
    assert np.asarray(transforms.decode(tmp_path / "clear.png", 3)).min() == 255
    Image.new("P", (4, 4), 0).save(tmp_path / "palette.gif")
    Image.new("CMYK", (4, 4)).save(tmp_path / "print.jpg")
    for file in ("palette.gif", "print.jpg"):
        assert np.asarray(transforms.decode(tmp_path / file, 3)).shape == (4, 4, 3)


def test_missing_root_says_what_to_put_where(tmp_path):
    with pytest.raises(NetBoosterError, match=r"data.root.*train/<class>/"):
        load_dataset(DataConfig(name="folder"))
    with pytest.raises(NetBoosterError, match=r"nowhere.*train/<class>/"):
        load_dataset(_config(tmp_path / "nowhere"))
    with pytest.raises(NetBoosterError, match=r"train is missing"):
        load_dataset(_config(tmp_path))
    (tmp_path / "train").mkdir()
    with pytest.raises(NetBoosterError, match=r"val/<class>/"):
        load_dataset(_config(tmp_path))
    (tmp_path / "val").mkdir()
    with pytest.raises(NetBoosterError, match=r"train holds no class folder"):
        load_dataset(_config(tmp_path))
    (tmp_path / "train" / "cat").mkdir()
    with pytest.raises(NetBoosterError, match=r"only the class 'cat'.*two"):
        load_dataset(_config(tmp_path))


def test_empty_class_folder_is_named(root):
    (root / "train" / "violet").mkdir()
    (root / "val" / "violet").mkdir()
    (root / "train" / "violet" / "notes.txt").write_text("no image")
    (root / "train" / "violet" / ".hidden.png").write_text("no image")
    with pytest.raises(NetBoosterError, match=r"train/violet holds no image"):
        load_dataset(_config(root))


def test_classes_that_differ_are_named(root):
    (root / "val" / "violet").mkdir()
    with pytest.raises(NetBoosterError, match=r"val has.*violet.*train/ lacks"):
        load_dataset(_config(root))
    (root / "val" / "violet").rmdir()
    (root / "train" / "violet").mkdir()
    with pytest.raises(NetBoosterError, match=r"val lacks.*violet"):
        load_dataset(_config(root))


def test_unreadable_header_stops_at_load(root):
    broken = root / "train" / "red" / "broken.jpg"
    broken.write_bytes(b"this is no JPEG")
    with pytest.raises(NetBoosterError) as caught:
        load_dataset(_config(root))
    message = str(caught.value)
    assert str(broken) in message and "on_corrupt" in message and "\n" not in message
    dataset = load_dataset(_config(root, on_corrupt="skip"))
    assert list(dataset.skipped) == [broken]
    assert dataset.split_size("train") == 30


def test_class_of_broken_images_only(root):
    for split in ("train", "val"):
        (root / split / "violet").mkdir()
        (root / split / "violet" / "broken.png").write_bytes(b"")
    with pytest.raises(NetBoosterError, match=r"train/violet holds no readable image"):
        load_dataset(_config(root, on_corrupt="skip"))


@pytest.mark.parametrize("split", ["train", "val"])
def test_damaged_body_is_named_when_used(root, split):
    damaged = root / split / "red" / "damaged.png"
    _noise_png(damaged)
    _damage(damaged)
    dataset = load_dataset(_config(root))
    with pytest.raises(NetBoosterError, match=str(damaged)):
        if split == "val":
            list(dataset.split("val"))
        else:
            list(islice(dataset.train_batches(batch_size=31, seed=0), 1))


def test_damaged_body_is_skipped_and_counted(root):
    for split in ("train", "val"):
        _noise_png(root / split / "red" / "damaged.png")
        _damage(root / split / "red" / "damaged.png")
    dataset = load_dataset(_config(root, on_corrupt="skip", flip=False))
    first = list(islice(dataset.train_batches(batch_size=31, seed=0), 2))
    assert all(len(labels) == 31 for _, labels in first)
    assert list(dataset.skipped) == [root / "train" / "red" / "damaged.png"]
    for images, labels in first:
        names = [dataset.labels[label] for label in labels.tolist()]
        assert names == [_name_of(image) for image in images]
    assert sum(len(labels) for _, labels in dataset.split("val")) == 12
    assert len(dataset.skipped) == 2
    again = load_dataset(_config(root, on_corrupt="skip", flip=False))
    second = next(again.train_batches(batch_size=31, seed=0, start_step=1))
    assert torch.equal(second[0], first[1][0])


def test_fingerprint_follows_the_files(root):
    before = load_dataset(_config(root)).fingerprint()
    assert load_dataset(_config(root)).fingerprint() == before
    content = io.BytesIO()
    Image.new("RGB", (50, 50), COLOURS["red"]).save(content, "PNG")
    (root / "val" / "red" / "new.png").write_bytes(content.getvalue())
    assert load_dataset(_config(root)).fingerprint() != before


def test_prefetch_threads_end_with_the_iterator(root):
    import threading

    stream = load_dataset(_config(root)).train_batches(batch_size=8, seed=0)
    next(stream)
    stream.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("netbooster-decode")]
