# SPDX-License-Identifier: Apache-2.0
"""Folder: labels, decoding, augmentation, random access, and every kind of broken input."""

import io
from itertools import islice

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import tv_tensors
from torchvision.transforms import v2

from netbooster.common.errors import NetBoosterError
from netbooster.data import DataConfig, Preprocess, load_dataset, transforms

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
    assert not load_dataset(_config(root)).test_is_val


def test_without_a_test_folder_it_is_said_that_test_is_val(root):
    dataset = load_dataset(_config(root))
    assert dataset.test_is_val
    assert dataset.split_size("test") == dataset.split_size("val")


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


def _preprocess(resolution, fraction=0.875):
    return Preprocess(resolution, 3, (128.0,) * 3, (128.0,) * 3, fraction)


def _drawn(transform, sample, seed):
    """A transform's result that depends on ``seed`` alone."""
    with transforms.DrawingFrom(torch.Generator().manual_seed(seed)):
        return transform(sample)


def test_evaluation_is_resize_and_centre_crop():
    """As torchvision's two steps in their usual order, within the rounding of one resampling.

    The size is one whose centre falls on a pixel's border in both orders.
    """
    rng = np.random.default_rng(0)
    smooth = rng.integers(0, 256, (6, 9, 3), dtype=np.uint8)
    image = Image.fromarray(smooth).resize((320, 192), Image.Resampling.BICUBIC)
    ours = transforms.to_array(transforms.evaluation_transform(_preprocess(56))(image))
    theirs = transforms.to_array(v2.Compose([v2.Resize(64), v2.CenterCrop(56)])(image))
    assert ours.shape == (3, 56, 56)
    assert np.abs(ours.astype(int) - theirs).max() <= 6


@pytest.mark.parametrize("size", [(1, 1), (1, 60_000), (60_000, 1), (7, 5)])
def test_evaluation_of_extreme_sizes_makes_no_large_image(size, monkeypatch):
    seen = []
    resize = Image.Image.resize

    def spy(image, wanted, *args, **kwargs):
        seen.append(wanted)
        return resize(image, wanted, *args, **kwargs)

    monkeypatch.setattr(Image.Image, "resize", spy)
    image = transforms.evaluation_transform(_preprocess(32))(Image.new("RGB", size, (9, 8, 7)))
    assert image.size == (32, 32) and image.getpixel((16, 16)) == (9, 8, 7)
    assert set(seen) <= {(32, 32)}


def _ramp(width, height):
    """An image whose pixels tell where they lie: red the column, green the row."""
    columns, rows = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return Image.fromarray(np.stack([columns, rows, rows * 0], 2).round().astype(np.uint8))


def test_random_crops_stay_inside_and_vary():
    for width, height in ((100, 80), (1, 1), (3, 500), (500, 3), (64, 64)):
        transform = transforms.training_transform(16, flip=False, jitter=False)
        image = _ramp(width, height)
        crops = [transforms.to_array(_drawn(transform, image, seed)) for seed in range(200)]
        assert {crop.shape for crop in crops} == {(3, 16, 16)}
        if min(width, height) >= 64:
            spans = [(crop[:2].max((1, 2)).astype(float) - crop[:2].min((1, 2))) for crop in crops]
            shares = [across * down / 255**2 for across, down in spans]
            assert min(shares) < 0.2 and max(shares) > 0.75 and min(shares) > 0.04
            assert 0.35 < np.mean(shares) < 0.6


def test_half_of_the_images_are_mirrored():
    transform = transforms.training_transform(16, jitter=False)
    mirrored = [
        crop[0, 0, 0] > crop[0, 0, -1]
        for crop in (transforms.to_array(_drawn(transform, _ramp(80, 80), s)) for s in range(200))
    ]
    assert 60 < sum(mirrored) < 140
    unflipped = transforms.training_transform(16, flip=False, jitter=False)
    crops = [transforms.to_array(_drawn(unflipped, _ramp(80, 80), s)) for s in range(20)]
    assert all(crop[0, 0, 0] < crop[0, 0, -1] for crop in crops)


def test_colour_jitter_moves_brightness_and_saturation():
    transform = transforms.training_transform(8)

    def jittered(colour):
        image = Image.new("RGB", (20, 20), colour)
        return np.stack([transforms.to_array(_drawn(transform, image, s)) for s in range(200)])

    grey = jittered((100, 100, 100)).astype(float)
    assert grey.min() >= 87 and grey.max() <= 113 and grey.std() > 5
    red = jittered((200, 0, 0)).astype(float)
    assert (red[:, 0] - red[:, 1]).std() > 10
    unjittered = transforms.training_transform(8, jitter=False)
    assert set(np.unique(_drawn(unjittered, Image.new("L", (20, 20), 77), 0))) == {77}
    one = [np.unique(_drawn(transform, Image.new("L", (20, 20), 100), s)) for s in range(50)]
    assert all(len(values) == 1 for values in one) and len({int(v[0]) for v in one}) > 5


@pytest.mark.parametrize("crop", ["resized", "padded"])
def test_draws_come_from_the_given_generator_alone(crop):
    transform = transforms.training_transform(16, crop=crop)
    image = _ramp(60, 50)
    before = torch.get_rng_state()
    first = transforms.to_array(_drawn(transform, image, 5))
    torch.rand(3)
    again = transforms.to_array(_drawn(transform, image, 5))
    torch.set_rng_state(before)
    other = transforms.to_array(_drawn(transform, image, 6))
    assert torch.equal(torch.get_rng_state(), before)
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_training_in_another_thread_keeps_its_own_random_numbers(root):
    """What the network draws meanwhile (dropout) does not depend on the decoding threads."""
    torch.manual_seed(0)
    alone = torch.rand(40)
    torch.manual_seed(0)
    batches = load_dataset(_config(root, workers=3)).train_batches(batch_size=16, seed=0)
    beside = []
    for _ in range(40):
        next(batches)
        beside.append(torch.rand(1))
    batches.close()
    assert torch.equal(torch.cat(beside), alone)


def test_parts_of_a_batch_and_any_number_of_threads_give_the_same_images(root):
    whole = next(load_dataset(_config(root, workers=1)).train_batches(batch_size=21, seed=4))
    parts = [
        next(
            load_dataset(_config(root, workers=3)).sharded_batches(
                shard=(rank, 2), batch_size=21, seed=4
            )
        )
        for rank in range(2)
    ]
    assert torch.equal(torch.cat([images for images, _ in parts]), whole[0])
    assert torch.equal(torch.cat([labels for _, labels in parts]), whole[1])


@pytest.mark.parametrize("crop", ["resized", "padded"])
def test_boxes_move_with_their_image(crop):
    width, height = 80, 60
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[20:40, 30:50] = 255
    image = Image.fromarray(pixels)
    boxes = tv_tensors.BoundingBoxes(
        torch.tensor([[30, 20, 50, 40]]), format="XYXY", canvas_size=(height, width)
    )
    transform = transforms.training_transform(96, crop=crop, jitter=False)
    found = 0
    for seed in range(30):
        moved, (box, label) = _drawn(transform, (image, (boxes, 3)), seed)
        assert label == 3 and box.canvas_size == (96, 96)
        lit = np.asarray(moved)[:, :, 0] > 127
        left, upper, right, lower = box[0].tolist()
        if not lit.any() or min(left, upper) <= 0 or max(right, lower) >= 96:
            continue
        found += 1
        rows, columns = np.flatnonzero(lit.any(1)), np.flatnonzero(lit.any(0))
        edges = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
        assert np.abs(np.array(edges) - (left, upper, right, lower)).max() <= 3
    assert found > 3
    _, box = transforms.evaluation_transform(_preprocess(96, 0.8))((image, boxes))
    assert box[0].tolist() == [28, 28, 68, 68]  # the square begins at 16, 6 and is doubled


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
