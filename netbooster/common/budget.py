# SPDX-License-Identifier: Apache-2.0
"""What a network costs: parameters, MACs, FLOPs and peak activation memory of any ``nn.Module``.

The network runs once on zeros, in eval mode, under a dispatch mode that sees every ATen operator;
so functional calls and attention count as modules do, and nothing needs to be traceable.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from netbooster.common.errors import NetBoosterError

FLOPS_PER_BN_ELEMENT = 5
"""Table 5 of the paper counts FLOPs as MACs plus this many operations per BN output element."""

# A planner writes the output of these over their input, or fuses them into the layer before.
_ELEMENTWISE = frozenset(
    [
        "native_batch_norm",
        "cudnn_batch_norm",
        "miopen_batch_norm",
        "_native_batch_norm_legit_no_training",
        "relu",
        "relu_",
        "relu6",
        "hardtanh",
        "hardtanh_",
        "hardswish",
        "hardswish_",
        "hardsigmoid",
        "hardsigmoid_",
        "silu",
        "silu_",
        "gelu",
        "gelu_",
        "sigmoid",
        "sigmoid_",
        "tanh",
        "tanh_",
        "elu",
        "elu_",
        "leaky_relu",
        "leaky_relu_",
        "clamp",
        "clamp_",
        "clamp_min",
        "mul",
        "mul_",
        "add",
        "add_",
        "sub",
        "sub_",
        "div",
        "div_",
        "clone",
        "_to_copy",
        "contiguous",
        "neg",
        "exp",
    ]
)


@dataclass(frozen=True)
class Budget:
    """Cost of one inference.

    Attributes:
        parameters: trainable scalars, BN's weight and bias included (running statistics are not).
        bn_parameters: the share of ``parameters`` that belongs to BN layers; they vanish when BN
            is folded. Table 1 of the paper counts them for MobileNetV2-Tiny and MCUNet only.
        macs: multiply-accumulates of convolutions, linear layers, attention and learned scales.
        flops: Table 5's count, MACs + 5 per BN output element.
        peak_activation_bytes: the largest sum of int8 tensors alive at one operator when layers
            run one after another, BN and activations fused; inputs of an operator are alive with
            its output, and so is a shortcut that a later layer adds.
        tensor_shapes: (layer name, output shape without the batch axis) in order of execution.
    """

    parameters: int
    bn_parameters: int
    macs: int
    flops: int
    peak_activation_bytes: int
    tensor_shapes: list[tuple[str, tuple[int, ...]]]

    @property
    def parameters_without_bn(self) -> int:
        """Parameters left when every BN is folded into the layer before it, biases not counted."""
        return self.parameters - self.bn_parameters


def measure_budget(model: nn.Module, input_shape: tuple[int, ...]) -> Budget:
    """Measure one forward pass.

    Args:
        model: any module that takes one float tensor; neither its mode nor its state changes.
        input_shape: (N, C, H, W) or whatever the module takes; counts are for one sample when
            N is 1.

    Raises:
        NetBoosterError: the module cannot run on this shape.
    """
    parameters = {id(p): p for p in model.parameters()}
    bn_parameters = {
        id(p): p.numel()
        for m in model.modules()
        if isinstance(m, nn.modules.batchnorm._BatchNorm)
        for p in m.parameters(recurse=False)
    }
    reference = next(model.parameters(), torch.empty(0))
    image = torch.zeros(input_shape, device=reference.device, dtype=reference.dtype)
    recorder = _Recorder(image, {_storage(p) for p in parameters.values()})
    shapes: list[tuple[str, tuple[int, ...]]] = []
    bn_elements = 0

    def observe(name: str, module: nn.Module) -> Callable[..., None]:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            nonlocal bn_elements
            for tensor in tree_leaves(output):
                if isinstance(tensor, torch.Tensor):
                    shapes.append((name, tuple(tensor.shape[1:])))
                    if isinstance(module, nn.modules.batchnorm._BatchNorm):
                        bn_elements += tensor.numel()

        return hook

    hooks = [
        module.register_forward_hook(observe(name, module))
        for name, module in model.named_modules()
        if not any(True for _ in module.children())
    ]
    try:
        with _evaluating(model), torch.no_grad(), recorder:
            output = model(image)
    except (RuntimeError, ValueError, TypeError, AssertionError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise NetBoosterError(
            f"{type(model).__name__} cannot run on an input of shape {tuple(input_shape)}: {reason}"
        ) from error
    finally:
        for handle in hooks:
            handle.remove()
    return Budget(
        parameters=sum(p.numel() for p in parameters.values()),
        bn_parameters=sum(bn_parameters.values()),
        macs=recorder.macs,
        flops=recorder.macs + FLOPS_PER_BN_ELEMENT * bn_elements,
        peak_activation_bytes=recorder.peak(output),
        tensor_shapes=shapes,
    )


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Eval mode without attention's fused fast path, which would hide its matrix products."""
    modes = {module: module.training for module in model.modules()}
    fast_path = torch.backends.mha.get_fastpath_enabled()
    model.eval()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)
        for module, training in modes.items():
            module.training = training


def _storage(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage()._cdata


@dataclass
class _Live:
    """One piece of planned memory: from the operator that writes it to the last that reads it."""

    size: int
    first: int
    last: int


@dataclass
class _Step:
    name: str
    inputs: list[int]
    output: int
    size: int


@dataclass
class _Trace:
    steps: list[_Step] = field(default_factory=list)
    last_use: dict[int, int] = field(default_factory=dict)


class _Recorder(TorchDispatchMode):
    """Counts MACs and notes which operator reads and writes which activation."""

    def __init__(self, image: torch.Tensor, parameters: set[int]) -> None:
        super().__init__()
        self.macs = 0
        self._parameters = parameters
        self._image = image
        self._activations = {_storage(image)}
        self._keep = [image]  # storages must not be freed and reused while their ids are noted
        self._trace = _Trace()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        tensors = [t for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)]
        read = list(dict.fromkeys(s for t in tensors if (s := _storage(t)) in self._activations))
        if not read:
            return out
        name = func.overloadpacket.__name__
        self.macs += self._count(func.overloadpacket, name, args, kwargs or {}, out, tensors)
        written = out[0] if isinstance(out, tuple | list) else out
        if isinstance(written, torch.Tensor):
            self._note(name, read, written)
        return out

    def _count(
        self,
        packet: Any,
        name: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        out: Any,
        tensors: list[torch.Tensor],
    ) -> int:
        if packet in flop_registry:
            return int(flop_registry[packet](*args, **kwargs, out_val=out)) // 2
        if name.startswith("_scaled_dot_product") and "backward" not in name:
            query, key, value = (t.shape for t in tensors[:3])
            return math.prod(query[:-1]) * key[-2] * (query[-1] + value[-1])
        if name in ("mul", "mul_") and any(_storage(t) in self._parameters for t in tensors):
            return int(out.numel())  # a learned per-channel scale is a 1x1 depthwise convolution
        return 0

    def _note(self, name: str, read: list[int], written: torch.Tensor) -> None:
        index = len(self._trace.steps)
        for storage in read:
            self._trace.last_use[storage] = index
        target = _storage(written)
        self._activations.add(target)
        self._keep.append(written)
        # An expanded view has more elements than memory behind it; count what is stored.
        stored = written.untyped_storage().nbytes() // max(written.element_size(), 1)
        self._trace.steps.append(_Step(name, read, target, min(stored, written.numel())))

    def peak(self, output: Any) -> int:
        """Bytes of int8 memory at the worst operator, once the forward pass is over."""
        steps, last_use = self._trace.steps, self._trace.last_use
        image = _Live(self._image.numel(), 0, 0)
        place = {_storage(self._image): image}
        pieces = [image]
        crowded: list[int] = []
        for index, step in enumerate(steps):
            for storage in step.inputs:
                place[storage].last = index
            if step.output in step.inputs:
                continue  # a view, or an operator that works in place
            source = place[step.inputs[0]]
            padding = step.name == "constant_pad_nd"
            dies_here = len(step.inputs) == 1 and last_use[step.inputs[0]] == index
            if padding or (step.name in _ELEMENTWISE and dies_here):
                place[step.output] = source
                continue
            place[step.output] = _Live(step.size, index, index)
            pieces.append(place[step.output])
            crowded.append(index)
        for tensor in tree_leaves(output):
            if isinstance(tensor, torch.Tensor) and _storage(tensor) in place:
                place[_storage(tensor)].last = len(steps)
        return max(
            (sum(p.size for p in pieces if p.first <= index <= p.last) for index in crowded),
            default=image.size,
        )
