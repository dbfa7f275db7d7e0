# SPDX-License-Identifier: Apache-2.0
"""Elementwise activations: the ones that torch names, and any other that shows itself to be one."""

import copy
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn

_FUNCTIONS: dict[Any, Callable[[], nn.Module]] = {
    F.relu: nn.ReLU,
    torch.relu: nn.ReLU,
    torch.relu_: nn.ReLU,
    F.relu6: nn.ReLU6,
    F.hardswish: nn.Hardswish,
    F.silu: nn.SiLU,
    "relu": nn.ReLU,
    "relu_": nn.ReLU,
}
_ATEN: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "relu_": nn.ReLU,
    "relu6": nn.ReLU6,
    "hardswish": nn.Hardswish,
    "hardswish_": nn.Hardswish,
    "silu": nn.SiLU,
    "silu_": nn.SiLU,
}


def known_activation(node: fx.Node) -> nn.Module | None:
    """The module of torch that does what a node does, None if it is not among the common ones."""
    if node.target in _FUNCTIONS:
        return _FUNCTIONS[node.target]()
    packet = getattr(node.target, "overloadpacket", None)
    label = "" if packet is None else str(packet).rsplit(".", 1)[-1]
    if node.target is F.gelu or label == "gelu":
        return nn.GELU(str(node.kwargs.get("approximate", "none")))
    if label in ("hardtanh", "hardtanh_"):
        low, high = [*node.args[1:], -1.0, 1.0][:2]
        return nn.ReLU6() if (low, high) == (0, 6) else nn.Hardtanh(low, high)  # type: ignore[arg-type]
    return _ATEN[label]() if label in _ATEN else None


def try_elementwise(module: nn.Module) -> bool:
    """Whether a module works on each value by itself; it is tried, in eval mode.

    Modules with parameters or buffers are not: what they learn belongs to their place.
    """
    if isinstance(module, nn.Sequential | nn.ModuleList | nn.ModuleDict):
        return False
    if any(True for _ in module.parameters()) or any(True for _ in module.buffers()):
        return False
    values = _values()
    order = torch.arange(values.numel()).roll(17).flip(0)
    other_shape = (2, 3, 8, 1)
    first, second = (
        _apply(module, values),
        _apply(module, values.flatten()[order].view(other_shape)),
    )
    if first is None or second is None or first.shape != values.shape:
        return False
    expected = first.flatten()[order].view(other_shape)
    return second.shape == expected.shape and torch.allclose(second, expected, rtol=1e-5, atol=1e-6)


def is_identity(module: nn.Module) -> bool:
    """Whether an elementwise module returns its input in eval mode, as dropout does."""
    result = _apply(module, _values())
    return result is not None and torch.equal(result, _values())


def is_affine(module: nn.Module) -> bool:
    """Whether an elementwise module only scales and shifts, so that it adds no capacity."""
    values = _values().double().flatten()
    result = _apply(module, values.view(1, 4, 3, 4))
    if result is None:
        return False
    low, high = values.argmin(), values.argmax()
    result = result.flatten()
    slope = (result[high] - result[low]) / (values[high] - values[low])
    return torch.allclose(result, result[low] + slope * (values - values[low]), atol=1e-9)


def function_module(root: nn.Module, start: fx.Node, inside: list[fx.Node]) -> fx.GraphModule:
    """Operations of a graph as a module of one input.

    Args:
        root: the traced network, for modules that the operations call.
        start: the node whose value is the input.
        inside: the operations in order; the last gives the output.
    """
    graph = fx.Graph()
    value = graph.placeholder("x")
    if any(_in_place(node) for node in inside):
        value = graph.call_method("clone", (value,))  # the decayed form reads its input again
    copies = {start: value}
    for node in inside:
        copies[node] = graph.node_copy(node, lambda old: copies[old])
    graph.output(copies[inside[-1]])
    return fx.GraphModule(root, graph, "Activation")


def _in_place(node: fx.Node) -> bool:
    name = str(getattr(node.target, "overloadpacket", None) or getattr(node.target, "__name__", ""))
    name = str(node.target) if node.op == "call_method" else name
    called = name.endswith("_") and not name.endswith("__")
    written = name in ("iadd", "isub", "imul", "itruediv")  # x += 3
    return called or written or bool(node.kwargs.get("inplace"))


def _values() -> torch.Tensor:
    """Values on both sides of every usual kink, in no order that shapes could hide."""
    return torch.linspace(-7.3, 7.9, 48).view(8, 6).T.reshape(1, 4, 3, 4)


def _apply(module: nn.Module, values: torch.Tensor) -> torch.Tensor | None:
    try:
        with torch.no_grad():
            result = copy.deepcopy(module).eval()(values.clone())
    except Exception:  # whatever a module of a user's raises: it is none that works on any shape
        return None
    return result if isinstance(result, torch.Tensor) and result.is_floating_point() else None
