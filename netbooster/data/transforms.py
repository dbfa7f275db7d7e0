"""Image preparation: decoding of files, training augmentation, evaluation resize and crop.

The defaults follow the published recipe of the width-augmentation baseline that the paper's open
settings follow: random resized crop, mirror, brightness 32/255, saturation 0.5; evaluation resizes
to resolution / 0.875 and crops the centre.
"""

import io
import math
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from netbooster.common.errors import NetBoosterError
from netbooster.data.base import Preprocess

#: Weights of red, green and blue in luminance (ITU-R BT.601, as Pillow's "L").
LUMINANCE = (0.299, 0.587, 0.114)
BRIGHTNESS = 32 / 255
SATURATION = 0.5
#: Share of the image's area and aspect ratio that a random crop takes.
CROP_AREA = (0.08, 1.0)
CROP_RATIO = (3 / 4, 4 / 3)

CropName = Literal["resized", "padded"]
#: Share of a side by which "padded" shifts an image: 4 of 32 pixels, the custom on CIFAR.
SHIFT = 1 / 8
Box = tuple[float, float, float, float]


class UnreadableImageError(NetBoosterError):
    """A file is not an image that Pillow can decode."""


def _to_eight_bits(image: Image.Image) -> Image.Image:
    """16-bit and 32-bit greyscale scaled to 0..255; Pillow's own conversion would clip it."""
    if image.mode.startswith("I"):
        values = np.asarray(image).astype(np.int64)
        return Image.fromarray(np.clip(values >> 8, 0, 255).astype(np.uint8))
    return image


def decode(path: Path, channels: int, content: bytes | None = None) -> Image.Image:
    """Decode a file wholly into mode "L" (1 channel) or "RGB" (3), upright by its EXIF tag.

    Transparent pixels become white. Of an animation the first frame is taken.

    Args:
        path: the file, or the name of the image in errors.
        content: its bytes where they do not lie in a file of their own.

    Raises:
        UnreadableImageError: the file is missing, truncated or no image.
    """
    mode = "L" if channels == 1 else "RGB"
    try:
        with Image.open(path if content is None else io.BytesIO(content)) as opened:
            image = ImageOps.exif_transpose(opened)
            image.load()
            if "transparency" in image.info or image.mode in ("LA", "PA", "RGBA"):
                image = image.convert("RGBA")
                white = Image.new("RGBA", image.size, (255, 255, 255, 255))
                image = Image.alpha_composite(white, image)
            return _to_eight_bits(image).convert(mode)
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        # Pillow's plug-ins raise all of these on broken files.
        reason = "not an image" if isinstance(error, Image.UnidentifiedImageError) else str(error)
        raise UnreadableImageError(
            f"cannot read image {path}: {' '.join(reason.split())}; replace or remove the file, "
            'or set data.on_corrupt = "skip"'
        ) from error


def check_header(path: Path) -> None:
    """Identify a file as an image without decoding it.

    Raises:
        UnreadableImageError: as ``decode``.
    """
    try:
        with Image.open(path) as image:
            width, height = image.size
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        reason = "not an image" if isinstance(error, Image.UnidentifiedImageError) else str(error)
        raise UnreadableImageError(
            f"cannot read image {path}: {' '.join(reason.split())}; replace or remove the file, "
            'or set data.on_corrupt = "skip"'
        ) from error
    if width < 1 or height < 1:
        raise UnreadableImageError(
            f"cannot read image {path}: its size is {width}x{height}; replace or remove the file"
        )


def to_array(image: Image.Image) -> np.ndarray:
    """A decoded image as uint8 [C, H, W]."""
    array = np.asarray(image)
    return array[None] if array.ndim == 2 else np.ascontiguousarray(array.transpose(2, 0, 1))


def random_crop_box(rng: np.random.Generator, width: int, height: int) -> Box:
    """A random box (left, upper, right, lower) as torchvision's RandomResizedCrop draws it."""
    low, high = math.log(CROP_RATIO[0]), math.log(CROP_RATIO[1])
    for _ in range(10):
        area = width * height * rng.uniform(*CROP_AREA)
        ratio = math.exp(rng.uniform(low, high))
        crop_width = round(math.sqrt(area * ratio))
        crop_height = round(math.sqrt(area / ratio))
        if 0 < crop_width <= width and 0 < crop_height <= height:
            left = int(rng.integers(0, width - crop_width + 1))
            upper = int(rng.integers(0, height - crop_height + 1))
            return (left, upper, left + crop_width, upper + crop_height)
    # Very long images: the largest centred box within the allowed ratios.
    crop_width = min(width, round(height * CROP_RATIO[1]))
    crop_height = min(height, round(width / CROP_RATIO[0]))
    left, upper = (width - crop_width) // 2, (height - crop_height) // 2
    return (left, upper, left + crop_width, upper + crop_height)


def training_image(
    image: Image.Image, resolution: int, rng: np.random.Generator, crop: CropName = "resized"
) -> np.ndarray:
    """A random crop resized to uint8 [C, resolution, resolution].

    "resized": see :func:`random_crop_box`. "padded": the image, shifted by up to an eighth of its
    size each way, black where it has moved away.
    """
    if crop == "padded":
        width, height = image.size
        left = int(rng.integers(-round(width * SHIFT), round(width * SHIFT) + 1))
        upper = int(rng.integers(-round(height * SHIFT), round(height * SHIFT) + 1))
        image = image.crop((left, upper, left + width, upper + height))
        return to_array(image.resize((resolution, resolution), Image.Resampling.BILINEAR))
    box = random_crop_box(rng, *image.size)
    size = (resolution, resolution)
    return to_array(image.resize(size, Image.Resampling.BILINEAR, box=box))


def evaluation_image(image: Image.Image, preprocess: Preprocess) -> np.ndarray:
    """The centre crop of an image of any size as uint8 [C, resolution, resolution].

    The shorter side is resized to ``resolution / crop_fraction``; resize and crop are one step, so
    that no pixel is interpolated twice.
    """
    width, height = image.size
    side = min(width, height) * preprocess.crop_fraction
    left, upper = (width - side) / 2, (height - side) / 2
    size = (preprocess.resolution, preprocess.resolution)
    box = (left, upper, left + side, upper + side)
    return to_array(image.resize(size, Image.Resampling.BILINEAR, box=box))


def load_image(path: Path, preprocess: Preprocess) -> Tensor:
    """One file prepared for a network: uint8 [C, resolution, resolution].

    Raises:
        UnreadableImageError: as ``decode``.
    """
    return torch.from_numpy(evaluation_image(decode(path, preprocess.channels), preprocess))


def mirror(
    images: Tensor,
    rng: np.random.Generator,
    batch: int | None = None,
    part: slice = slice(None),
) -> Tensor:
    """Mirrors each image of uint8 [N, C, H, W] left to right with probability one half.

    Args:
        batch: size of the whole batch, of which ``images`` are the ``part``; default: all of it.
        part: which.
    """
    chosen = torch.from_numpy(rng.random(batch or len(images))[part] < 0.5)
    return torch.where(chosen[:, None, None, None], images.flip(3), images)


def color_jitter(
    images: Tensor,
    rng: np.random.Generator,
    batch: int | None = None,
    part: slice = slice(None),
) -> Tensor:
    """Random brightness, then (with three channels) saturation, of uint8 [N, C, H, W].

    ``batch`` and ``part``: see :func:`mirror`.
    """
    shape, channels = (batch or len(images), 1, 1, 1), images.shape[1]
    bright = rng.uniform(1 - BRIGHTNESS, 1 + BRIGHTNESS, shape)[part].astype(np.float32)
    colour = rng.uniform(1 - SATURATION, 1 + SATURATION, shape)[part].astype(np.float32)
    result = (images * torch.from_numpy(bright)).clamp_(0, 255)
    if channels == 3:
        weights = torch.tensor(LUMINANCE).view(1, 3, 1, 1)
        grey = (result * weights).sum(1, keepdim=True)
        result = grey + (result - grey) * torch.from_numpy(colour)
    return result.round_().clamp_(0, 255).to(torch.uint8)
