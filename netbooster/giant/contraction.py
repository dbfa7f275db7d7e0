# SPDX-License-Identifier: Apache-2.0
"""From the giant back to the tiny network: every block becomes the layer that it replaced."""

import copy

import torch
from torch import nn

from netbooster.common.errors import NetBoosterError
from netbooster.giant.expanded import ExpandedConv, ExpandedLinear
from netbooster.giant.expansion import expanded_layers
from netbooster.giant.merging import LinearMap, compose, merge_chain, merge_conv2d

__all__ = [
    "LinearMap",
    "compose",
    "contract",
    "contraction_error",
    "enlarge_kernels",
    "enlarged_kernels",
    "merge_chain",
    "merge_conv2d",
]


def contract(giant: nn.Module) -> nn.Module:
    """The network that the giant was made from, with the giant's function in eval mode.

    Contract after all tuning: BN statistics are frozen into the weights. The result has the
    original's class and the keys and shapes of its ``state_dict``; the merged bias goes into the
    BN that follows (running_mean -= bias) or into the layer's own bias.

    Raises:
        NetBoosterError: nothing is expanded, an activation has not decayed to the identity, or
            a layer cannot be merged exactly; the message names the layer.
    """
    if isinstance(giant, ExpandedConv | ExpandedLinear):
        raise NetBoosterError("contract takes the whole giant, not one expanded layer")
    result = copy.deepcopy(giant)
    blocks = expanded_layers(result)
    if not blocks:
        raise NetBoosterError(f"{type(giant).__name__} has no expanded layer; nothing to contract")
    for name, block in blocks:
        merged = merge_chain([(f"{name}.{child}", m) for child, m in block.named_children()])
        layer = _original(block, merged)
        if layer.bias is not None:
            with torch.no_grad():
                layer.bias.copy_(merged.bias)
        elif merged.bias.any():
            _absorb(result, name, block, merged.bias)
        layer.train(block.training)
        result.set_submodule(name, layer)
    return result


def contraction_error(giant: nn.Module, contracted: nn.Module, inputs: torch.Tensor) -> float:
    """Largest difference of the outputs over the largest output, both networks in eval mode.

    Args:
        inputs: one batch [N, C, H, W] on the networks' device; each gets it in its own dtype.
    """
    expected, actual = _evaluate(giant, inputs).double(), _evaluate(contracted, inputs).double()
    largest = float(expected.abs().max())
    difference = float((expected - actual).abs().max())
    return difference / largest if largest > 0 else difference


def enlarged_kernels(giant: nn.Module) -> dict[str, int]:
    """Layers that contraction gives a larger kernel than they had, by name, with that kernel.

    Empty unless the giant was made with ``allow_larger_kernel``.
    """
    return {
        name: block.replaced.arguments["kernel_size"][0]
        for name, block in expanded_layers(giant)
        if isinstance(block, ExpandedConv) and block.replaced.arguments["kernel_size"] != (1, 1)
    }


def enlarge_kernels(model: nn.Module, kernels: dict[str, int]) -> None:
    """Give a fresh network the shapes of one contracted with larger kernels; weights are undefined.

    Args:
        kernels: what :func:`enlarged_kernels` said of the giant.

    Raises:
        NetBoosterError: the network has no such 1x1 convolution.
    """
    modules = dict(model.named_modules())
    for name, kernel in kernels.items():
        conv = modules.get(name)
        if not isinstance(conv, nn.Conv2d) or conv.kernel_size != (1, 1):
            raise NetBoosterError(f"{type(model).__name__} has no 1x1 convolution '{name}'")
        assert not isinstance(conv.padding, str)
        border = (kernel - 1) // 2
        larger = nn.Conv2d(
            conv.in_channels,
            conv.out_channels,
            kernel,
            (conv.stride[0], conv.stride[1]),
            padding=(conv.padding[0] + border, conv.padding[1] + border),
            bias=conv.bias is not None,
        )
        larger.to(device=conv.weight.device, dtype=conv.weight.dtype).train(conv.training)
        model.set_submodule(name, larger)


def _original(block: ExpandedConv | ExpandedLinear, merged: LinearMap) -> nn.Conv2d | nn.Linear:
    layer: nn.Conv2d | nn.Linear
    if isinstance(block, ExpandedLinear):
        layer = nn.Linear(**block.replaced.arguments)
        weight = merged.kernel[:, :, 0, 0]
    else:
        layer = nn.Conv2d(**block.replaced.arguments)
        weight = merged.kernel
    reference = block.first.weight
    layer.to(device=reference.device, dtype=reference.dtype)
    with torch.no_grad():
        layer.weight.copy_(weight)
    return layer


def _absorb(
    model: nn.Module, name: str, block: ExpandedConv | ExpandedLinear, bias: torch.Tensor
) -> None:
    """Move a merged bias into the BN that follows: BN(Wx + b) has the mean of Wx + b subtracted."""
    if block.replaced.following_bn is None:
        raise NetBoosterError(
            f"{name}: the merged bias has no place: the original layer has none and no BN follows; "
            "give the original layer a bias"
        )
    up, path = block.replaced.following_bn
    parts = name.split(".")
    target = ".".join([*parts[: len(parts) - up], path])
    try:
        bn = model.get_submodule(target)
    except AttributeError:
        bn = None
    if not isinstance(bn, nn.modules.batchnorm._BatchNorm) or bn.num_features != len(bias):
        raise NetBoosterError(
            f"{name}: the BN '{target}' that followed this layer at expansion is not there any "
            "more, so the merged bias has no place"
        )
    if bn.running_mean is None:
        raise NetBoosterError(
            f"{target}: this BN keeps no running statistics, so it cannot absorb the merged bias "
            f"of {name}; use track_running_stats=True"
        )
    bn.running_mean.copy_(bn.running_mean.double() - bias)


def _evaluate(model: nn.Module, inputs: torch.Tensor) -> torch.Tensor:
    modes = {module: module.training for module in model.modules()}
    model.eval()
    dtype = next((p.dtype for p in model.parameters()), inputs.dtype)
    try:
        with torch.no_grad():
            output: torch.Tensor = model(inputs.to(dtype))
            return output
    finally:
        for module, training in modes.items():
            module.training = training
