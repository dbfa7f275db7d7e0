# SPDX-License-Identifier: Apache-2.0
"""MobileNetV2 (Sandler et al., 2018) at several widths, and the width-augmentation paper's Tiny."""

from functools import partial

from torch import nn

from netbooster.models.layers import (
    ConvBnAct,
    ImageClassifier,
    InvertedResidual,
    make_divisible,
    output_size,
)
from netbooster.models.registry import register

STEM_CHANNELS = 32
# (expansion, channels at width 1, blocks, stride of the first block)
STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
HEAD_CHANNELS = 1280


class MobileNetV2(ImageClassifier):
    """MobileNetV2 for square images.

    Args:
        width: multiplier of every channel count, each rounded to a multiple of 8.
        scale_head: whether the last 1x1 layer shrinks below 1,280 channels with ``width`` (Tiny).
    """

    def __init__(
        self,
        *,
        width: float,
        num_classes: int,
        resolution: int,
        channels: int = 3,
        scale_head: bool = False,
    ) -> None:
        current = make_divisible(STEM_CHANNELS * width)
        stem = ConvBnAct(channels, current, size=resolution, kernel=3, stride=2)
        size = output_size(resolution, 2)
        blocks: list[nn.Module] = []
        for expansion, base, count, first_stride in STAGES:
            out = make_divisible(base * width)
            for index in range(count):
                stride = first_stride if index == 0 else 1
                blocks.append(
                    InvertedResidual(current, out, size=size, stride=stride, expansion=expansion)
                )
                current, size = out, output_size(size, stride)
        features = make_divisible(HEAD_CHANNELS * (width if scale_head else max(width, 1.0)))
        head = ConvBnAct(current, features, size=size)
        super().__init__(stem, blocks, head, features, num_classes)


@register(
    "mobilenetv2-tiny",
    family="MobileNetV2",
    resolution=144,
    stride=32,
    description="width 0.35 with a head of 448 channels",
)
def mobilenetv2_tiny(*, num_classes: int, resolution: int, channels: int = 3) -> MobileNetV2:
    """MobileNetV2-Tiny: the head shrinks as the rest does."""
    return MobileNetV2(
        width=0.35,
        num_classes=num_classes,
        resolution=resolution,
        channels=channels,
        scale_head=True,
    )


for _name, _width in (("mobilenetv2-35", 0.35), ("mobilenetv2-50", 0.5), ("mobilenetv2-100", 1.0)):
    register(
        _name,
        family="MobileNetV2",
        resolution=160,
        stride=32,
        description=f"width {_width}",
    )(partial(MobileNetV2, width=_width))
