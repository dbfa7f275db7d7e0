# SPDX-License-Identifier: Apache-2.0
"""Merging a chain of linear layers into one layer, exactly (Section 3.4, Eq. 3-4 of the paper).

Two convolutions in a row are one convolution. With torch's convention (cross-correlation), first
kernel K1 of stride s1 and dilation d1, second kernel K2 of dilation d2,

    K[i*d1 + s1*d2*s] += K2[s] * K1[i],    stride = s1*s2,    pad = p1 + s1*p2,

which is Eq. 4 for s1 = d1 = d2 = 1 (there t_l must read max(0, j - k1 + 1)). BN in eval mode is a
1x1 depthwise convolution with a bias. All arithmetic is float64.

Padding of a later layer inserts zeros where the merged layer would compute values. The two agree
only if everything before that layer is pointwise and has no bias; other chains are refused.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from netbooster.common.errors import NetBoosterError
from netbooster.giant.expanded import ChannelScale
from netbooster.giant.plt import DecayedActivation

Pair = tuple[int, int]
_BATCH_NORM = (nn.BatchNorm1d, nn.BatchNorm2d, nn.SyncBatchNorm)


@dataclass
class LinearMap:
    """A convolution with explicit dilation zeros, in float64: what a chain is merged into.

    Attributes:
        kernel: [out, in / groups, kh, kw].
        bias: [out].
        stride: rows, columns.
        padding: left, right, top, bottom zeros in front of the kernel.
        linear: True while only ``nn.Linear`` and BN over features were merged.
    """

    kernel: torch.Tensor
    bias: torch.Tensor
    stride: Pair = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    groups: int = 1
    linear: bool = False

    @property
    def in_channels(self) -> int:
        return self.kernel.shape[1] * self.groups

    @property
    def pointwise(self) -> bool:
        return self.kernel.shape[2:] == (1, 1)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Apply the merged map to [N, in, H, W] (or to [..., in] features if linear)."""
        if self.linear:
            return F.linear(x, self.kernel[:, :, 0, 0], self.bias)
        x = F.pad(x, self.padding)
        return F.conv2d(x, self.kernel, self.bias, self.stride, groups=self.groups)


def merge_chain(layers: Iterable[nn.Module] | Iterable[tuple[str, nn.Module]]) -> LinearMap:
    """Merge layers that run one after another into one linear map.

    Args:
        layers: modules, or (name, module) pairs so that errors can name them: ``Conv2d``,
            ``Linear``, BN (its running statistics are used), ``ZeroPad2d``, ``ChannelScale``,
            ``DecayedActivation`` at alpha 1, ``Identity``, ``Dropout``; ``nn.Sequential`` of them.

    Raises:
        NetBoosterError: a layer is not linear, or the merged map would not be exact; the message
            names the layer.
    """
    merged: LinearMap | None = None
    pending: tuple[int, int, int, int] = (0, 0, 0, 0)
    for name, layer in _flatten(layers):
        if isinstance(layer, nn.ZeroPad2d):
            left, right, top, bottom = _four(layer.padding)
            if min(left, right, top, bottom) < 0:
                raise NetBoosterError(f"{name}: negative padding crops; it cannot be merged")
            pending = _add(pending, (left, right, top, bottom))
            continue
        step = _as_map(name, layer, merged)
        if step is None:
            continue
        if any(pending):
            step.padding = _add(step.padding, pending)
            pending = (0, 0, 0, 0)
        if merged is not None and merged.linear != step.linear:
            raise NetBoosterError(
                f"{name}: {type(layer).__name__} works on another axis than the layers before it; "
                "a chain is either of convolutions or of linear layers"
            )
        merged = step if merged is None else compose(merged, step, name)
    if merged is None:
        raise NetBoosterError("a chain without any linear layer cannot be contracted")
    if any(pending):
        raise NetBoosterError("a chain that ends with padding cannot be contracted")
    return merged


def compose(first: LinearMap, second: LinearMap, name: str = "second layer") -> LinearMap:
    """``second`` after ``first`` as one map (Eq. 3-4).

    Raises:
        NetBoosterError: the channels do not fit, or ``second`` pads what ``first`` computed and
            the result would not be exact at the border.
    """
    channels = first.kernel.shape[0]
    if second.in_channels != channels:
        raise NetBoosterError(
            f"{name}: takes {second.in_channels} channels, but the layers before it give {channels}"
        )
    if any(second.padding) and not (first.pointwise and not first.bias.any()):
        cause = "have a bias (BN counts)" if first.pointwise else "look at more than one pixel"
        raise NetBoosterError(
            f"{name}: pads its input with zeros, but the layers before it {cause}, so that the "
            "contracted layer would differ at the border; put the padding in front of the chain"
        )
    groups = math.gcd(first.groups, second.groups)
    dense = densify(first, groups)
    rows, columns = second.kernel.shape[2:]
    reach = ((rows - 1) * first.stride[0], (columns - 1) * first.stride[1])
    # Each of the merged groups is merged by a full convolution of the kernels: K1's input
    # channels are the batch, K2 is flipped, because conv2d computes a cross-correlation. The two
    # common cases are written out: float64 convolutions of large kernels take minutes.
    if rows == columns == groups == 1 and second.groups == channels == second.kernel.shape[0]:
        blocks = [dense * second.kernel]  # a scale a channel: BN, or a 1x1 depthwise convolution
    elif rows == columns == 1 and second.groups == groups:
        blocks = [
            (k2.flatten(1) @ k1.flatten(1)).view(-1, *k1.shape[1:])
            for k1, k2 in zip(dense.chunk(groups), second.kernel.chunk(groups), strict=True)
        ]
    else:
        blocks = [
            F.conv2d(
                k1.transpose(0, 1),
                k2.flip(2, 3),
                padding=reach,
                dilation=first.stride,
                groups=second.groups // groups,
            ).transpose(0, 1)
            for k1, k2 in zip(dense.chunk(groups), second.kernel.chunk(groups), strict=True)
        ]
    taps = second.kernel.sum(dim=(2, 3))
    shared = first.bias.view(second.groups, -1)
    bias = torch.einsum("goi,gi->go", taps.view(second.groups, -1, taps.shape[1]), shared)
    left, right, top, bottom = second.padding
    inner = (
        left * first.stride[1],
        right * first.stride[1],
        top * first.stride[0],
        bottom * first.stride[0],
    )
    return LinearMap(
        kernel=torch.cat(blocks),
        bias=bias.flatten() + second.bias,
        stride=(first.stride[0] * second.stride[0], first.stride[1] * second.stride[1]),
        padding=_add(first.padding, inner),
        groups=groups,
        linear=first.linear and second.linear,
    )


def densify(layer: LinearMap, groups: int) -> torch.Tensor:
    """Kernel of ``layer`` written with fewer groups: zeros join what grouping kept apart."""
    if groups == layer.groups:
        return layer.kernel
    out, width, rows, columns = layer.kernel.shape
    inner = layer.groups // groups
    dense = layer.kernel.new_zeros(groups, inner, out // layer.groups, inner, width, rows, columns)
    source = layer.kernel.view(groups, inner, out // layer.groups, width, rows, columns)
    for block in range(inner):
        dense[:, block, :, block] = source[:, block]
    return dense.reshape(out, inner * width, rows, columns)


def merge_conv2d(layers: Iterable[nn.Module] | Iterable[tuple[str, nn.Module]]) -> nn.Conv2d:
    """Merge a chain into one ``nn.Conv2d`` of the chain's dtype and device, in eval mode's terms.

    Raises:
        NetBoosterError: as ``merge_chain``, or the merged padding is not symmetric.
    """
    chain = list(_flatten(layers))
    merged = merge_chain(chain)
    left, right, top, bottom = merged.padding
    if left != right or top != bottom:
        raise NetBoosterError(
            f"{chain[0][0]}: the merged padding {merged.padding} is not symmetric, which Conv2d "
            "cannot express; use merge_chain and pad by ZeroPad2d"
        )
    reference = next(p for _, module in chain for p in module.parameters())
    out, _, rows, columns = merged.kernel.shape
    conv = nn.Conv2d(
        merged.in_channels,
        out,
        (rows, columns),
        merged.stride,
        (top, left),
        groups=merged.groups,
        device=reference.device,
        dtype=reference.dtype,
    )
    with torch.no_grad():
        conv.weight.copy_(merged.kernel)
        assert conv.bias is not None
        conv.bias.copy_(merged.bias)
    return conv


def _as_map(name: str, layer: nn.Module, before: LinearMap | None) -> LinearMap | None:
    """One layer as a float64 map; None if it does nothing in eval mode."""
    if isinstance(layer, nn.Identity | nn.Dropout | nn.Dropout2d):
        return None
    if isinstance(layer, DecayedActivation):
        if layer.get_alpha() < 1.0:
            raise NetBoosterError(
                f"{name}: alpha is {layer.get_alpha():g}, not 1, so the layer is not linear yet; "
                "finish the decay (set_alpha(model, 1.0)) before contracting"
            )
        return None
    if isinstance(layer, nn.Conv2d):
        return _conv_map(name, layer)
    if isinstance(layer, nn.Linear):
        weight = layer.weight.detach().double()[:, :, None, None]
        return LinearMap(weight, _bias(layer.bias, weight), linear=True)
    if isinstance(layer, ChannelScale):
        weight = layer.weight.detach().double()
        return LinearMap(weight, _bias(None, weight), groups=layer.channels)
    if isinstance(layer, _BATCH_NORM):
        scale, shift = batch_norm_affine(name, layer)
        features = isinstance(layer, nn.BatchNorm1d) or (
            isinstance(layer, nn.SyncBatchNorm) and before is not None and before.linear
        )
        return LinearMap(scale[:, None, None, None], shift, groups=len(scale), linear=features)
    raise NetBoosterError(
        f"{name}: {type(layer).__name__} is not linear; only convolutions, linear layers, BN, "
        "padding and fully decayed activations can be contracted"
    )


def _conv_map(name: str, conv: nn.Conv2d) -> LinearMap:
    if conv.transposed or type(conv).__name__.startswith("Lazy"):
        raise NetBoosterError(f"{name}: {type(conv).__name__} cannot be contracted")
    if conv.padding_mode != "zeros" and conv.padding not in ((0, 0), 0, "valid"):
        raise NetBoosterError(
            f"{name}: padding mode '{conv.padding_mode}' cannot be contracted; use zeros"
        )
    weight = conv.weight.detach().double()
    out, width, rows, columns = weight.shape
    (step_y, step_x), (kernel_y, kernel_x) = conv.dilation, conv.kernel_size
    kernel = weight.new_zeros(out, width, (rows - 1) * step_y + 1, (columns - 1) * step_x + 1)
    kernel[:, :, ::step_y, ::step_x] = weight
    if conv.padding == "valid":
        padding = (0, 0, 0, 0)
    elif conv.padding == "same":
        total_y, total_x = step_y * (kernel_y - 1), step_x * (kernel_x - 1)
        padding = (total_x // 2, total_x - total_x // 2, total_y // 2, total_y - total_y // 2)
    else:
        pad_y, pad_x = int(conv.padding[0]), int(conv.padding[1])
        padding = (pad_x, pad_x, pad_y, pad_y)
    stride = (conv.stride[0], conv.stride[1])
    return LinearMap(kernel, _bias(conv.bias, kernel), stride, padding, conv.groups)


def batch_norm_affine(name: str, bn: nn.Module) -> tuple[torch.Tensor, torch.Tensor]:
    """Scale and shift (float64) that a BN applies in eval mode.

    Raises:
        NetBoosterError: the BN keeps no running statistics.
    """
    assert isinstance(bn, nn.modules.batchnorm._BatchNorm)
    if bn.running_mean is None or bn.running_var is None:
        raise NetBoosterError(
            f"{name}: this BN keeps no running statistics, so it has no fixed form to contract; "
            "use track_running_stats=True"
        )
    mean, var = bn.running_mean.double(), bn.running_var.double()
    weight = torch.ones_like(mean) if bn.weight is None else bn.weight.detach().double()
    bias = torch.zeros_like(mean) if bn.bias is None else bn.bias.detach().double()
    scale = weight / torch.sqrt(var + bn.eps)
    return scale, bias - mean * scale


def _bias(bias: torch.Tensor | None, kernel: torch.Tensor) -> torch.Tensor:
    return kernel.new_zeros(kernel.shape[0]) if bias is None else bias.detach().double()


def _flatten(
    layers: Iterable[nn.Module] | Iterable[tuple[str, nn.Module]], prefix: str = ""
) -> Iterable[tuple[str, nn.Module]]:
    for index, item in enumerate(layers):
        label, layer = item if isinstance(item, tuple) else (str(index), item)
        name = f"{prefix}{label}"
        if isinstance(layer, nn.Sequential):
            yield from _flatten(list(layer.named_children()), f"{name}.")
        else:
            yield name, layer


def _four(padding: int | tuple[int, ...]) -> tuple[int, int, int, int]:
    values = (padding,) * 4 if isinstance(padding, int) else padding
    return values[0], values[1], values[2], values[3]


def _add(a: tuple[int, int, int, int], b: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    return a[0] + b[0], a[1] + b[1], a[2] + b[2], a[3] + b[3]
