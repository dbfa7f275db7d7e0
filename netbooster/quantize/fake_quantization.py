# SPDX-License-Identifier: Apache-2.0
"""Quantization-aware fine-tuning with the firmware's integer semantics.

The forward pass computes what the int8 kernels compute: batch norms folded into the weights;
weights symmetric in [-127, 127], one scale an output channel (one for the whole tensor in linear
layers); int32 biases of scale input x weight; activations asymmetric with one scale and zero point
a tensor, and only where the firmware stores one: behind a fused ReLU6, not before it. Gradients
pass the rounding unchanged and stop where a value is clipped (straight-through estimator; Jacob et
al., "Quantization and Training of Neural Networks", 2018).

The scales that training ends with are the flatbuffer's: its writer takes them by
the tensors' names.
"""

from __future__ import annotations

import copy
import math
import operator
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from netbooster.common.errors import NetBoosterError
from netbooster.quantize import integer_arithmetic as arithmetic

_LARGEST_BIAS = 1 << 28  # as in the writer: a bias leaves room for the sums in int32
_TRANSPARENT = (nn.ZeroPad2d, nn.Flatten, nn.Identity, nn.Dropout, nn.MaxPool2d)
_TRANSPARENT_CALLS = (torch.flatten, "flatten")
_CLIPS: dict[type[nn.Module], tuple[float, float]] = {
    nn.ReLU: (0.0, math.inf),
    nn.ReLU6: (0.0, 6.0),
}


def _round(values: Tensor) -> Tensor:
    """To the nearest whole number; the gradient passes as if nothing happened."""
    return values + (torch.round(values) - values).detach()


class ActivationRange(nn.Module):
    """Range, scale and zero point of one activation.

    Buffers ``low`` and ``high`` follow the values by an exponential moving average while
    ``follows``; the first batch sets them.
    """

    low: Tensor
    high: Tensor

    def __init__(self, momentum: float = 0.99) -> None:
        super().__init__()
        self.momentum = momentum
        self.follows = False
        self.register_buffer("low", torch.tensor(0.0))
        self.register_buffer("high", torch.tensor(0.0))

    def widen(self, values: Tensor) -> None:
        """Extend the range so that it holds ``values``."""
        self.low = torch.minimum(self.low, values.detach().amin())
        self.high = torch.maximum(self.high, values.detach().amax())

    def quantization(self) -> tuple[Tensor, Tensor]:
        """Scale and zero point, as the writer computes them from a range."""
        spread = ((self.high.double() - self.low.double()) / 255).float()
        scale = torch.where(spread > 0, spread, torch.full_like(spread, 1 / 127))
        zero = torch.round(-128 - self.low.double() / scale.double())
        zero = torch.where(spread > 0, zero, torch.zeros_like(zero))
        return scale, zero.clamp(-128, 127).float()

    def forward(self, values: Tensor) -> Tensor:
        """The values that int8 holds."""
        if self.follows:
            low, high = torch.aminmax(values.detach())
            self.low = torch.lerp(low.clamp(max=0.0), self.low, self.momentum)
            self.high = torch.lerp(high.clamp(min=0.0), self.high, self.momentum)
        scale, zero = self.quantization()
        codes = torch.clamp(_round(values / scale) + zero, -128, 127)
        return (codes - zero) * scale


@dataclass
class _Stored:
    """An activation that the firmware stores: the nodes that are computed together with it."""

    name: str
    kind: str  # "weights", "add", "mean"
    module: nn.Module | None = None
    norm: nn.BatchNorm2d | None = None
    clip: tuple[float, float] | None = None
    last: fx.Node | None = None
    members: list[fx.Node] = field(default_factory=list)


@dataclass
class _Weights:
    """Weight and bias on their grids, their codes, and the weights' scales [out]."""

    weight: Tensor
    bias: Tensor
    codes: Tensor
    bias_codes: Tensor
    scales: Tensor


class QuantizedNetwork(nn.Module):
    """A network whose forward pass is the int8 firmware's; its parameters are the network's own.

    Batch norms use their running statistics, as the firmware does.

    Args:
        network: Conv2d, Linear, BatchNorm2d, ReLU, ReLU6, ZeroPad2d, AdaptiveAvgPool2d(1),
            Flatten, Dropout, Identity, MaxPool2d, and sums; copied.
        input_scale, input_zero_point: of the int8 input.

    Raises:
        NetBoosterError: a layer has no int8 counterpart here; it is named.
    """

    def __init__(
        self, network: nn.Module, *, input_scale: float = 1 / 128, input_zero_point: int = 0
    ) -> None:
        super().__init__()
        self.network = copy.deepcopy(network).eval()
        self.input_scale, self.input_zero_point = input_scale, input_zero_point
        self.floating = False  # forward in float and widen the ranges
        self._graph = fx.Tracer().trace(self.network)
        self._plan = _plan(self.network, self._graph)
        self._ends = {stored.last: stored for stored in self._plan}
        self._inside = {node for stored in self._plan for node in stored.members}
        self.ranges = nn.ModuleDict({_key(stored.name): ActivationRange() for stored in self._plan})

    def forward(self, images: Tensor) -> Tensor:
        """[N, C, H, W] normalized images → logits [N, classes], on int8's grid."""
        scale, zero = self.input_scale, self.input_zero_point
        values: dict[fx.Node, Tensor] = {}
        scales: dict[fx.Node, Tensor] = {}  # of what the firmware stores there
        result = images
        for node in self._graph.nodes:
            if node.op == "placeholder":
                codes = torch.clamp(torch.round(images / scale) + zero, -128, 127)
                values[node] = images if self.floating else (codes - zero) * scale
                scales[node] = torch.tensor(scale, device=images.device)
            elif node.op == "output":
                result = values[node.all_input_nodes[0]]
            elif node in self._ends:
                values[node], scales[node] = self._store(self._ends[node], values, scales)
            elif node not in self._inside:
                source = node.all_input_nodes[0]
                values[node] = self._pass(node, values[source])
                scales[node] = scales[source]
        return result

    def _pass(self, node: fx.Node, value: Tensor) -> Tensor:
        if node.op == "call_module":
            return self.network.get_submodule(str(node.target))(value)
        return torch.flatten(value, 1)

    def _store(
        self, stored: _Stored, values: dict[fx.Node, Tensor], scales: dict[fx.Node, Tensor]
    ) -> tuple[Tensor, Tensor]:
        first = stored.members[0]
        sources = [node for node in first.all_input_nodes]
        weights = None
        if stored.kind == "weights":
            weights = self._weights(stored, scales[sources[0]])
            y = _linear(stored, values[sources[0]], weights.weight, weights.bias)
        elif stored.kind == "add":
            y = values[sources[0]] + values[sources[-1]]
        else:
            y = values[sources[0]].mean(dim=(2, 3), keepdim=True)
        if stored.clip is not None:
            y = torch.clamp(y, *stored.clip)
        keeper = self.ranges[_key(stored.name)]
        assert isinstance(keeper, ActivationRange)
        if self.floating:
            keeper.widen(y)
            return y, keeper.low  # no scale is read in float
        y = keeper(y)
        read = [(values[node].detach(), scales[node]) for node in (sources[0], sources[-1])]
        exact = _integer(stored, read, weights, keeper)
        y = y + (exact - y).detach()  # the firmware's number, the real function's gradient
        return y, keeper.quantization()[0]

    def _weights(self, stored: _Stored, scale: Tensor) -> _Weights:
        layer: Any = stored.module
        weight, bias = _folded(layer, stored.norm)
        if self.floating:
            weight, bias = weight.float(), bias.float()
            return _Weights(weight, bias, weight, bias, scale)
        return _quantize(weight, bias, scale, per_channel=isinstance(layer, nn.Conv2d))

    @contextmanager
    def observing(self) -> Iterator[None]:
        """Forward passes inside are float and widen every range to what they see."""
        self.floating = True
        try:
            yield
        finally:
            self.floating = False

    def follow_ranges(self, follow: bool) -> None:
        """Whether ranges move with the batches."""
        for keeper in self.ranges.values():
            assert isinstance(keeper, ActivationRange)
            keeper.follows = follow

    def activations(self) -> dict[str, tuple[float, int]]:
        """Scale and zero point of every stored activation, by the writer's name for it."""
        found = {}
        for stored in self._plan:
            keeper = self.ranges[_key(stored.name)]
            assert isinstance(keeper, ActivationRange)
            scale, zero = keeper.quantization()
            found[stored.name] = (float(scale), int(zero))
        return found


def _folded(layer: nn.Module, norm: nn.BatchNorm2d | None) -> tuple[Tensor, Tensor]:
    """Weight and bias with the batch norm in them, float64 as the writer folds them."""
    weight: Any = layer.weight
    bias: Any = layer.bias
    weight = weight.double()
    bias = weight.new_zeros(weight.shape[0]) if bias is None else bias.double()
    if norm is None:
        return weight, bias
    mean, variance = norm.running_mean, norm.running_var
    assert mean is not None and variance is not None  # _plan has checked
    scale = 1.0 / torch.sqrt(variance.double() + norm.eps)
    if norm.affine:
        scale = scale * norm.weight.double()
    shift = -mean.double() * scale
    if norm.affine:
        shift = shift + norm.bias.double()
    return weight * scale[:, None, None, None], bias * scale + shift


def _quantize(weight: Tensor, bias: Tensor, input_scale: Tensor, *, per_channel: bool) -> _Weights:
    """Weights and bias as int8 and int32 hold them (the writer's rule), from float64."""
    step_in = input_scale.double()
    with torch.no_grad():
        largest = weight.flatten(1).abs().amax(1)
        scales = torch.maximum(largest / 127, bias.abs() / (step_in * _LARGEST_BIAS))
        if not per_channel:
            scales = scales.amax().expand_as(scales)
        scales = torch.where(scales > 1e-30, scales, torch.full_like(scales, 1 / 127)).float()
    spread = scales.double().reshape(-1, *([1] * (weight.ndim - 1)))
    codes = torch.clamp(_round(weight / spread), -127, 127)
    step = scales.double() * step_in
    bias_codes = _round(bias / step)
    return _Weights(
        (codes * spread).float(),
        (bias_codes * step).float(),
        codes.detach().float(),
        bias_codes.detach(),
        scales,
    )


def _linear(stored: _Stored, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    layer: Any = stored.module
    if isinstance(layer, nn.Linear):
        return F.linear(x, weight, bias)
    return F.conv2d(x, weight, bias, layer.stride, layer.padding, layer.dilation, layer.groups)


@torch.no_grad()
def _integer(
    stored: _Stored,
    inputs: list[tuple[Tensor, Tensor]],
    weights: _Weights | None,
    keeper: ActivationRange,
) -> Tensor:
    """What the firmware stores, in integers: int32 sums, fixed-point multipliers, all roundings.

    The roundings decide every value that lies near the middle between two codes: without them a
    share of 1e-3 of the codes would differ in each layer, and most of them after fifty.

    Args:
        inputs: (values, scale) of what is read.
    """
    scale, zero = keeper.quantization()
    codes = [torch.round(values / own) for values, own in inputs]
    if weights is not None:
        codes_out = _integer_linear(stored, codes[0], inputs[0][1], weights, scale)
    elif stored.kind == "add":
        first, second = (own.long() for own in codes)
        codes_out = arithmetic.add(first, second, (inputs[0][1], inputs[1][1]), scale)
    else:
        sums = codes[0].double().sum(dim=(2, 3), keepdim=True).long()
        count = codes[0].shape[2] * codes[0].shape[3]
        codes_out = arithmetic.mean(sums, count, inputs[0][1], scale)
    low, high = -128, 127
    if stored.clip is not None:
        low = max(low, int(zero))
        if math.isfinite(stored.clip[1]):
            steps = float(torch.tensor(stored.clip[1]) / scale.cpu())  # in float32, as TFLM
            high = min(high, int(zero) + math.floor(steps + 0.5))
    return ((codes_out + zero.long()).clamp(low, high).float() - zero) * scale


def _integer_linear(
    stored: _Stored, codes: Tensor, scale: Tensor, weights: _Weights, output: Tensor
) -> Tensor:
    """A layer with weights; codes before the output's zero point is added and clipped."""
    rows = weights.codes.detach()
    # Whole numbers below 2**24 are exact in float32; 255 is the largest code less a zero point.
    wide = 255 * float(rows.abs().flatten(1).sum(1).amax()) >= 2**24
    if wide:
        codes, rows = codes.double(), rows.double()
    sums = _linear(stored, codes, rows.to(codes.dtype), None).double()
    shape = (1, -1, *([1] * (sums.ndim - 2)))
    sums = torch.round(sums + weights.bias_codes.detach().double().reshape(shape)).long()
    factor = scale.double() * weights.scales.double() / output.double()
    return arithmetic.requantize(sums, factor.reshape(shape))


def _plan(network: nn.Module, graph: fx.Graph) -> list[_Stored]:
    plan: list[_Stored] = []
    counts: dict[str, int] = {}
    taken: set[fx.Node] = set()
    for node in graph.nodes:
        if node.op in ("placeholder", "output") or node in taken:
            continue
        module = network.get_submodule(str(node.target)) if node.op == "call_module" else None
        if isinstance(module, nn.Conv2d | nn.Linear):
            stored = _Stored("", "weights", module)
        elif node.op == "call_function" and node.target in (operator.add, torch.add):
            stored = _Stored("", "add")
        elif isinstance(module, nn.AdaptiveAvgPool2d) and module.output_size in (1, (1, 1)):
            stored = _Stored("", "mean", module)
        elif isinstance(module, _TRANSPARENT) or node.target in _TRANSPARENT_CALLS:
            continue
        else:
            kind = type(module).__name__ if module is not None else str(node.target)
            raise NetBoosterError(
                f"layer '{_layer(node)}' ({kind}): quantization-aware training has no int8 form "
                'of it; use quantization.method = "equalized"'
            )
        name = _layer(node)
        counts[name] = counts.get(name, 0) + 1
        stored.name = name if counts[name] == 1 else f"{name}:{counts[name]}"
        stored.members = _absorb(network, node, stored)
        stored.last = stored.members[-1]
        taken.update(stored.members)
        plan.append(stored)
    return plan


def _absorb(network: nn.Module, node: fx.Node, stored: _Stored) -> list[fx.Node]:
    """The node, and the norm and clip behind it that the firmware computes with it."""
    members = [node]
    while len(members[-1].users) == 1 and stored.kind != "mean" and stored.clip is None:
        user = next(iter(members[-1].users))
        module = network.get_submodule(str(user.target)) if user.op == "call_module" else None
        if isinstance(module, nn.BatchNorm2d) and stored.norm is None and stored.kind == "weights":
            if module.running_mean is None:
                raise NetBoosterError(
                    f"layer '{user.target}' (BatchNorm2d): it keeps no running statistics; "
                    "train with track_running_stats=True"
                )
            stored.norm = module
        elif isinstance(module, nn.ReLU | nn.ReLU6):
            stored.clip = _CLIPS[type(module)]
        else:
            break
        members.append(user)
    return members


def _layer(node: fx.Node) -> str:
    """The writer's name: module path, or "blocks.3.add" for a sum inside blocks.3."""
    if node.op == "call_module":
        return str(node.target)
    stack = node.meta.get("nn_module_stack") or {}
    path = next((str(key) for key in reversed(stack) if key), "").split("@")[0]
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "op")
    return f"{path}.{name}" if path else str(name)


def _key(name: str) -> str:
    """Module dictionaries allow no dots."""
    return name.replace(".", "/")
