# SPDX-License-Identifier: Apache-2.0
"""Networks by name, and what is known of them before they are built."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from torch import nn

from netbooster.common.errors import NetBoosterError

B = TypeVar("B", bound=Callable[..., Any])


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


_NETWORKS: dict[str, tuple[ModelInfo, Callable[..., nn.Module]]] = {}


def register(
    name: str,
    *,
    family: str,
    resolution: int,
    stride: int,
    description: str = "",
    multiple: int = 1,
) -> Callable[[B], B]:
    """Enter a network: a decorator of its class, or of a function that builds it.

    What is decorated takes the keywords ``num_classes``, ``resolution`` and ``channels`` and gives
    a module that :mod:`torch.fx` can trace, from float32 [N, C, H, W] to logits [N, classes].

    Args:
        name: what recipes call it.
        family: networks that differ in their settings only.
        resolution: height = width in pixels at which its paper trains it.
        stride: its total stride; smaller images leave no feature map.
        description: a few words for lists.
        multiple: resolutions must be a multiple of this (patches of transformers).

    Raises:
        NetBoosterError: another network has this name.
    """

    def enter(builder: B) -> B:
        if name in _NETWORKS:
            raise NetBoosterError(f"network '{name}' is registered already; choose another name")
        info = ModelInfo(name, family, description, resolution, stride, multiple)
        _NETWORKS[name] = (info, builder)
        return builder

    return enter


def model_names() -> list[str]:
    """Names that ``build_model`` knows, in the order in which they are listed to users."""
    return list(_NETWORKS)


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


def _lookup(name: str) -> tuple[ModelInfo, Callable[..., nn.Module]]:
    if name not in _NETWORKS:
        raise NetBoosterError(f"unknown model '{name}'; known are: {', '.join(_NETWORKS)}")
    return _NETWORKS[name]
