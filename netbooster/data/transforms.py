# SPDX-License-Identifier: Apache-2.0
"""Image preparation: decoding of files, training augmentation, evaluation crop and resize.

What becomes of a decoded image is made of torchvision's v2 transforms, which take a Pillow image,
or a nest of it with ``tv_tensors`` (boxes, masks), and treat all of it alike. The defaults follow
the published recipe of the width-augmentation baseline that the paper's open settings follow:
random resized crop, mirror, brightness 32/255, saturation 0.5; evaluation takes the centre.
"""

import io
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from netbooster.common.errors import NetBoosterError
from netbooster.data.base import Preprocess

BRIGHTNESS = 32 / 255
SATURATION = 0.5

CropName = Literal["resized", "padded"]
#: Share of a side by which "padded" shifts an image: 4 of 32 pixels, the custom on CIFAR.
SHIFT = 1 / 8


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
            ImageOps.exif_transpose(opened, in_place=True)
            image: Image.Image = opened
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


class DrawingFrom(TorchFunctionMode):
    """Inside, in this thread alone, what torch draws at random comes from ``generator``.

    torchvision's transforms draw from the generator of the whole process, which the threads that
    decode would share with each other and with training: no run would repeat.
    """

    _DRAWS = frozenset(
        {
            torch.rand,
            torch.randint,
            torch.randn_like,
            torch.randperm,
            torch.multinomial,
            Tensor.normal_,
            Tensor.uniform_,
        }
    )

    def __init__(self, generator: torch.Generator) -> None:
        super().__init__()
        self._generator = generator

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if func in self._DRAWS:
            return func(*args, generator=self._generator, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


class RandomResizedCrop(v2.RandomResizedCrop):
    """torchvision's, with all its tries from one draw.

    Between two images' decoding torch's code has left the caches: a dozen small draws an image cost
    a third of the throughput.
    """

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """See ``v2.Transform``."""
        height, width = v2.query_size(flat_inputs)
        low, high = (math.log(ratio) for ratio in self.ratio)
        for share, place, x, y in torch.rand(10, 4).tolist():
            area = height * width * (self.scale[0] + share * (self.scale[1] - self.scale[0]))
            ratio = math.exp(low + place * (high - low))
            w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if 0 < w <= width and 0 < h <= height:
                top, left = int(y * (height - h + 1)), int(x * (width - w + 1))
                return {"top": top, "left": left, "height": h, "width": w}
        params: dict[str, Any] = super().make_params(flat_inputs)  # long images: their middle
        return params


class Augmentation(v2.Transform):
    """A random crop, then mirror, brightness and saturation of what lies in it.

    One transform draws for all of them, as a chain of torchvision's would cost more than the crop.

    Args:
        crop: torchvision's; draws where it lies.
        flip: mirror one half of the images left to right.
        jitter: change brightness by up to 32/255 and saturation by up to a half.
    """

    def __init__(
        self, crop: v2.RandomResizedCrop | v2.RandomCrop, *, flip: bool, jitter: bool
    ) -> None:
        super().__init__()
        self.crop = crop
        self.flip = flip
        self.jitter = jitter

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """See ``v2.Transform``."""
        mirror, brightness, saturation = torch.rand(3).tolist()
        return {
            "crop": self.crop.make_params(flat_inputs),
            "mirrored": self.flip and mirror < 0.5,
            "brightness": 1 + BRIGHTNESS * (2 * brightness - 1),
            "saturation": 1 + SATURATION * (2 * saturation - 1),
        }

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """See ``v2.Transform``."""
        result = self.crop.transform(inpt, params["crop"])
        if params["mirrored"]:
            result = functional.horizontal_flip(result)
        if self.jitter and isinstance(result, Image.Image | tv_tensors.Image):
            result = functional.adjust_brightness(result, params["brightness"])
            result = functional.adjust_saturation(result, params["saturation"])
        return result


class CentralSquare(v2.Transform):
    """The square in the middle whose side is ``fraction`` of the shorter side.

    The usual order, to resize and then to crop, would make an image of one by 60,000 pixels huge.
    """

    def __init__(self, fraction: float) -> None:
        super().__init__()
        self.fraction = fraction

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """See ``v2.Transform``."""
        side = max(1, round(min(v2.query_size(flat_inputs)) * self.fraction))
        return {"output_size": [side, side]}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """See ``v2.Transform``."""
        return functional.center_crop(inpt, **params)


def training_transform(
    resolution: int, *, crop: CropName = "resized", flip: bool = True, jitter: bool = True
) -> v2.Transform:
    """The random change of an image, and of boxes with it, to ``resolution`` each way.

    Args:
        crop: "resized" takes a random part; "padded" shifts the image by up to an eighth of its
            size each way, black where it has moved away.
        flip: mirror one half of the images left to right.
        jitter: random brightness and saturation.
    """
    size = [resolution, resolution]
    if crop == "resized":
        return Augmentation(RandomResizedCrop(size), flip=flip, jitter=jitter)
    shift = v2.RandomCrop(size, padding=round(resolution * SHIFT))
    return v2.Compose([v2.Resize(size), Augmentation(shift, flip=flip, jitter=jitter)])


def evaluation_transform(preprocess: Preprocess) -> v2.Transform:
    """The centre of an image of any size, ``preprocess.crop_fraction`` of its shorter side."""
    size = [preprocess.resolution, preprocess.resolution]
    return v2.Compose([CentralSquare(preprocess.crop_fraction), v2.Resize(size)])
