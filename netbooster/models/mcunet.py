# SPDX-License-Identifier: Apache-2.0
"""MCUNet in3 (Lin et al., 2020): the searched network of 176 x 176 pixels for ImageNet."""

from torch import nn

from netbooster.models.layers import ConvBnAct, ImageClassifier, InvertedResidual, output_size
from netbooster.models.registry import register

STEM_CHANNELS = 16
SEPARABLE_CHANNELS = 8
# (channels, kernels of the blocks, expansions of the blocks, stride of the first block)
STAGES = (
    (16, (7, 3, 7, 5), (3, 5, 5, 4), 2),
    (24, (5, 5, 5), (5, 5, 5), 2),
    (40, (3, 7, 5), (5, 6, 4), 2),
    (48, (5, 7, 3), (5, 5, 5), 1),
    (96, (3, 7, 3), (6, 5, 4), 2),
    (160, (7,), (5,), 1),
)


@register(
    "mcunet-in3",
    family="MCUNet",
    resolution=176,
    stride=32,
    description="searched for a 320 KB microcontroller",
)
class MCUNet(ImageClassifier):
    """MCUNet-in3 for square images; it has no 1x1 layer between the blocks and the pooling."""

    def __init__(self, *, num_classes: int, resolution: int, channels: int = 3) -> None:
        stem = ConvBnAct(channels, STEM_CHANNELS, size=resolution, kernel=3, stride=2)
        size = output_size(resolution, 2)
        blocks: list[nn.Module] = [
            InvertedResidual(STEM_CHANNELS, SEPARABLE_CHANNELS, size=size, expansion=1)
        ]
        current = SEPARABLE_CHANNELS
        for out, kernels, expansions, first_stride in STAGES:
            for index, (kernel, expansion) in enumerate(zip(kernels, expansions, strict=True)):
                stride = first_stride if index == 0 else 1
                blocks.append(
                    InvertedResidual(
                        current, out, size=size, kernel=kernel, stride=stride, expansion=expansion
                    )
                )
                current, size = out, output_size(size, stride)
        super().__init__(stem, blocks, None, current, num_classes)
