# SPDX-License-Identifier: Apache-2.0
"""ResNet-50 and DeiT-Tiny (the paper's Table 8) from torchvision's building blocks.

Both keep torchvision's names, shapes and padding, so that published weights load into them. Neither
is meant for a microcontroller.
"""

from functools import partial

import torch
from torch import nn
from torchvision.models.resnet import Bottleneck, ResNet
from torchvision.models.vision_transformer import VisionTransformer

from netbooster.models.registry import register

DEIT_PATCH = 16
_RESNET50_STAGES = [3, 4, 6, 3]


@register(
    "resnet50",
    family="ResNet",
    resolution=224,
    stride=32,
    description="torchvision's; for Table 8 and as a teacher",
)
def resnet50(*, num_classes: int, resolution: int, channels: int = 3) -> ResNet:
    """ResNet-50 (He et al., 2016) with torchvision's placement of strides, in the 3x3 layers.

    Args:
        resolution: not used; padding is symmetric at every size.
        channels: of the image; other than 3 changes the first convolution only.
    """
    del resolution
    model = ResNet(Bottleneck, _RESNET50_STAGES, num_classes=num_classes)
    if channels != 3:
        model.conv1 = nn.Conv2d(channels, 64, 7, 2, padding=3, bias=False)
        nn.init.kaiming_normal_(model.conv1.weight, mode="fan_out", nonlinearity="relu")
    return model


@register(
    "deit-tiny",
    family="DeiT",
    resolution=224,
    stride=DEIT_PATCH,
    multiple=DEIT_PATCH,
    description="vision transformer of torchvision's blocks; for Table 8",
)
def deit_tiny(*, num_classes: int, resolution: int, channels: int = 3) -> VisionTransformer:
    """DeiT-Tiny without distillation token (Touvron et al., 2021): 12 blocks of width 192, 3 heads.

    Weights start as DeiT's: truncated normal of deviation 0.02, biases at zero.

    Args:
        resolution: height = width in pixels, a multiple of 16; fixes the number of positions.
    """
    model = VisionTransformer(
        image_size=resolution,
        patch_size=DEIT_PATCH,
        num_layers=12,
        num_heads=3,
        hidden_dim=192,
        mlp_dim=768,
        num_classes=num_classes,
        norm_layer=partial(nn.LayerNorm, eps=1e-6),
    )
    if channels != 3:
        model.conv_proj = nn.Conv2d(channels, 192, DEIT_PATCH, DEIT_PATCH)
    for name, parameter in model.named_parameters():
        if name.startswith("conv_proj"):
            continue  # keeps the default of convolutions
        if parameter.ndim > 1:
            nn.init.trunc_normal_(parameter, std=0.02)
        elif name.endswith("bias"):
            nn.init.zeros_(parameter)
    with torch.no_grad():
        fan_in = channels * DEIT_PATCH**2
        nn.init.uniform_(model.conv_proj.weight, -(fan_in**-0.5), fan_in**-0.5)
        assert model.conv_proj.bias is not None
        nn.init.zeros_(model.conv_proj.bias)
    return model
