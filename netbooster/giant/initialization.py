# SPDX-License-Identifier: Apache-2.0
"""How an expanded block starts.

The giant trains slowly from the usual start: its inserted BNs are centred on the activation's kink,
and half of every signal is cut three times in a row. "linear" starts the block near the linear map
that it will be again after contraction.
"""

import math
from typing import Literal

import torch
from torch import nn

from netbooster.giant.expanded import ChannelScale, ExpandedConv, ExpandedLinear

InitName = Literal["linear", "default"]


def initialize_conv(
    block: ExpandedConv,
    conv: nn.Conv2d,
    init: InitName,
    bn_bias: float,
    bn_weight: float,
    gain: float,
) -> None:
    """Fill the weights of a fresh block.

    "default": He's rule by fan-out for every convolution. "linear": the first layers are
    orthogonal, the depthwise scale is 1, and the last layer makes the composed map equal the
    replaced layer's weights up to a scale that the following BN removes; each layer has the norm
    that He's rule would give it.
    """
    for module in block:
        if isinstance(module, nn.BatchNorm2d):
            nn.init.constant_(module.weight, bn_weight)
            nn.init.constant_(module.bias, bn_bias)
        elif isinstance(module, nn.Conv2d | ChannelScale):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if isinstance(module, nn.Conv2d) and module.bias is not None:
                nn.init.zeros_(module.bias)
    if init == "linear":
        _compose(block, conv)
    with torch.no_grad():
        for module in block:
            if isinstance(module, nn.Conv2d) and module.groups == 1:
                module.weight.mul_(gain)


def _compose(block: ExpandedConv, conv: nn.Conv2d) -> None:
    inner = [m for m in block if isinstance(m, nn.Conv2d | ChannelScale)][:-1]
    with torch.no_grad():
        target = conv.weight.flatten(1)
        for module in inner:
            if isinstance(module, ChannelScale):
                nn.init.ones_(module.weight)
            elif module.groups > 1:
                nn.init.dirac_(module.weight, groups=module.groups)
            else:
                norm = module.weight.norm()
                nn.init.orthogonal_(module.weight)
                target = target @ module.weight.flatten(1).T
                module.weight.mul_(norm / module.weight.norm())
        last = block.last.weight
        norm = last.norm()
        last.copy_(target[:, :, None, None])
        if block.replaced.following_bn is not None:
            last.mul_(norm / last.norm().clamp_min(1e-12))


def initialize_linear(
    block: ExpandedLinear, linear: nn.Linear, init: InitName, bias: float
) -> None:
    """Fill the weights of a fresh pair of linear layers.

    "linear" keeps the function up to the activation's curvature: fc2(fc1(x)) is the replaced
    layer, and ``bias`` moves the inner activation into its linear range.
    """
    first, last = block.first, block.last
    with torch.no_grad():
        if init == "default":
            for layer in (first, last):
                nn.init.trunc_normal_(layer.weight, std=1 / math.sqrt(layer.in_features))
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
            return
        nn.init.orthogonal_(first.weight)
        nn.init.constant_(first.bias, bias)
        last.weight.copy_(linear.weight @ first.weight.T)
        if last.bias is not None:
            last.bias.copy_(linear.bias - last.weight @ first.bias)
