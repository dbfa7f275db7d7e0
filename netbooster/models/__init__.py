"""Networks by name. To add one: write its file here and give it an entry in ``_REGISTRY``."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from torch import nn

from netbooster.common.errors import NetBoosterError
from netbooster.models.mcunet import MCUNet
from netbooster.models.mobilenet_v2 import MobileNetV2
from netbooster.models.torchvision_networks import DEIT_PATCH, deit_tiny, resnet50

__all__ = ["ModelInfo", "build_model", "model_info", "model_names"]


@dataclass(frozen=True)
class ModelInfo:
    """What is known of a network before it is built.

    Attributes:
        default_resolution: height = width in pixels at which the paper trains it.
        min_resolution: the network's total stride; smaller images leave no feature map.
        resolution_multiple: resolutions must be a multiple of this (patches of transformers).
    """

    name: str
    family: str
    description: str
    default_resolution: int
    min_resolution: int
    resolution_multiple: int = 1

    def resolution_problem(self, resolution: int) -> str | None:
        """Why the network cannot take square images of this size, None if it can."""
        if resolution < self.min_resolution:
            return (
                f"resolution {resolution} is smaller than the network's total stride; "
                f"use at least {self.min_resolution}"
            )
        if resolution % self.resolution_multiple:
            return (
                f"resolution {resolution} cannot be cut into patches; use a multiple of "
                f"{self.resolution_multiple}"
            )
        return None


_Builder = Callable[..., nn.Module]
_REGISTRY: dict[str, tuple[ModelInfo, _Builder]] = {}


def _register(
    name: str,
    family: str,
    resolution: int,
    stride: int,
    builder: _Builder,
    description: str,
    multiple: int = 1,
) -> None:
    _REGISTRY[name] = (ModelInfo(name, family, description, resolution, stride, multiple), builder)


_register(
    "mobilenetv2-tiny",
    "MobileNetV2",
    144,
    32,
    partial(MobileNetV2, width=0.35, scale_head=True),
    "width 0.35 with a head of 448 channels",
)
_register("mobilenetv2-35", "MobileNetV2", 160, 32, partial(MobileNetV2, width=0.35), "width 0.35")
_register("mobilenetv2-50", "MobileNetV2", 160, 32, partial(MobileNetV2, width=0.5), "width 0.5")
_register("mobilenetv2-100", "MobileNetV2", 160, 32, partial(MobileNetV2, width=1.0), "width 1.0")
_register("mcunet-in3", "MCUNet", 176, 32, MCUNet, "searched for a 320 KB microcontroller")
_register("resnet50", "ResNet", 224, 32, resnet50, "torchvision's; for Table 8 and as a teacher")
_register(
    "deit-tiny",
    "DeiT",
    224,
    DEIT_PATCH,
    deit_tiny,
    "vision transformer of torchvision's blocks; for Table 8",
    multiple=DEIT_PATCH,
)


def model_names() -> list[str]:
    """Names that ``build_model`` knows, in the order in which they are listed to users."""
    return list(_REGISTRY)


def model_info(name: str) -> ModelInfo:
    """Metadata of one network.

    Raises:
        NetBoosterError: no network has this name.
    """
    return _lookup(name)[0]


def build_model(name: str, *, num_classes: int, resolution: int, channels: int = 3) -> nn.Module:
    """Build a network with random weights (drawn from torch's global generator).

    Args:
        num_classes: width of the classifier.
        resolution: height = width of the images in pixels; the SAME padding follows from it.
        channels: 3 for RGB, 1 for grey images.

    Raises:
        NetBoosterError: unknown name, resolution below the network's total stride or not a multiple
            of its patches, or a count that is not positive.
    """
    info, builder = _lookup(name)
    if num_classes < 1 or channels < 1:
        raise NetBoosterError(
            f"{name}: num_classes={num_classes} and channels={channels} must be at least 1"
        )
    if problem := info.resolution_problem(resolution):
        raise NetBoosterError(f"{name}: {problem}")
    return builder(num_classes=num_classes, resolution=resolution, channels=channels)


def _lookup(name: str) -> tuple[ModelInfo, _Builder]:
    if name not in _REGISTRY:
        raise NetBoosterError(f"unknown model '{name}'; known are: {', '.join(_REGISTRY)}")
    return _REGISTRY[name]
