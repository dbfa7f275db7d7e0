# SPDX-License-Identifier: Apache-2.0
"""torch.fx: an eval-mode nn.Module becomes the float graph, with static shapes and batch 1."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import fx, nn

import deploy.quantize.ops  # noqa: F401 (fills the register of lowerings)
from deploy.core.errors import DeployError
from deploy.quantize.graph import FloatGraph
from deploy.quantize.lowering import Call, Lowering, find_lowering
from deploy.quantize.tensors import FloatTensor


def trace(model: nn.Module, input_shape: tuple[int, int, int]) -> FloatGraph:
    """The float graph of ``model`` for images of shape (C, H, W).

    Batch norms are folded, activations fused, windows brought to TFLite's paddings. ``model``
    itself is not changed.

    Raises:
        DeployError: control flow that depends on data, an operator without a lowering, a shape
            that does not fit, NaN or infinite weights. Each names the layer.
    """
    module = copy.deepcopy(model).cpu().eval()
    try:
        traced = fx.Tracer().trace(module)
    except Exception as error:  # noqa: BLE001 (forward() runs arbitrary code)
        raise DeployError(
            f"{type(model).__name__} cannot be traced by torch.fx ({_first_line(error)}): "
            "its forward() must not branch on values or shapes of tensors"
        ) from error
    channels, height, width = input_shape
    graph = FloatGraph(FloatTensor("input", (1, height, width, channels)))
    _Interpreter(graph, module).run(traced)
    graph.drop_unused()
    graph.ops = [legal for op in graph.ops for legal in op.legalize()]
    _announce(graph)
    return graph


class _Interpreter:
    """Walks the fx graph once; values are activations or plain Python objects."""

    def __init__(self, graph: FloatGraph, module: nn.Module) -> None:
        self.graph, self.module = graph, module
        self.lowering = Lowering(graph)
        self.values: dict[fx.Node, Any] = {}

    def run(self, traced: fx.Graph) -> None:
        inputs = [node for node in traced.nodes if node.op == "placeholder"]
        if len(inputs) != 1:
            required = [node for node in inputs if not node.args]
            if len(required) != 1:
                raise DeployError(
                    f"{type(self.module).__name__} takes {len(inputs)} inputs; "
                    "only networks with one image input can be quantized"
                )
        for node in traced.nodes:
            value = self._value(node, first=node is inputs[0])
            if isinstance(value, FloatTensor):
                absorbed = any(value is self.values.get(source) for source in node.all_input_nodes)
                value.readers += len(node.users) - int(absorbed)
                self._overwrite(node, value)
            self.values[node] = value

    def _overwrite(self, node: fx.Node, result: FloatTensor) -> None:
        """After an in-place call, whoever reads its argument later reads its result."""
        if not node.args or not isinstance(node.args[0], fx.Node) or not self._in_place(node):
            return
        source = self.values[node.args[0]]
        if isinstance(source, FloatTensor) and source is not result:
            result.readers += source.readers - 1  # some may have read before: too many is safe
            for other, value in self.values.items():
                if value is source:
                    self.values[other] = result

    def _in_place(self, node: fx.Node) -> bool:
        if node.op == "call_module":
            return bool(getattr(self.module.get_submodule(str(node.target)), "inplace", False))
        name = node.target if isinstance(node.target, str) else node.target.__name__
        if name in ("relu", "relu6") and len(node.args) > 1:
            return bool(node.args[1])
        return bool(node.kwargs.get("inplace")) or name in ("iadd", "imul") or name.endswith("_")

    def _value(self, node: fx.Node, *, first: bool) -> Any:
        if node.op == "placeholder":
            return self.graph.input if first else node.args[0]
        args = fx.node.map_arg(node.args, lambda source: self.values[source])
        kwargs = fx.node.map_arg(node.kwargs, lambda source: self.values[source])
        if node.op == "output":
            return self._outputs(args[0])
        if node.op == "get_attr":
            return _attribute(self.module, str(node.target))
        return self._call(node, args, kwargs)

    def _outputs(self, result: Any) -> None:
        results = result if isinstance(result, tuple | list) else [result]
        if not results or not all(isinstance(value, FloatTensor) for value in results):
            raise DeployError(
                f"{type(self.module).__name__} must return one tensor (or a tuple of tensors), "
                f"not {type(result).__name__}"
            )
        if any(value is self.graph.input for value in results):
            raise DeployError(f"{type(self.module).__name__} returns its input unchanged")
        self.graph.outputs = list(dict.fromkeys(results))

    def _call(self, node: fx.Node, args: Any, kwargs: Any) -> Any:
        module = self.module.get_submodule(str(node.target)) if node.op == "call_module" else None
        target = node.target if module is None else type(module)
        touches = any(
            isinstance(self.values[source], FloatTensor) for source in node.all_input_nodes
        )
        if not touches and node.op != "call_module":
            return _compute(node, args, kwargs)
        if not args and "input" not in kwargs and kwargs:
            args, kwargs = tuple(kwargs.values())[:1], dict(list(kwargs.items())[1:])
        call = Call(_layer(node), _kind(node, module), module, tuple(args), dict(kwargs))
        lower = find_lowering(target)
        if lower is None:
            raise call.error(
                "there is no int8 TFLite Micro operator for it; use another one, or add a file to "
                "deploy/quantize/ops"
            )
        return lower(self.lowering, call)


def _compute(node: fx.Node, args: Any, kwargs: Any) -> Any:
    """Arithmetic on sizes and constants, done while tracing."""
    if node.op == "call_method":
        return getattr(args[0], str(node.target))(*args[1:], **kwargs)
    if not callable(node.target):
        raise DeployError(f"torch.fx node '{node.name}' cannot be evaluated while tracing")
    return node.target(*args, **kwargs)


def _attribute(module: nn.Module, path: str) -> Any:
    value: Any = module
    for name in path.split("."):
        value = getattr(value, name)
    return value


def _layer(node: fx.Node) -> str:
    """Module path of a node: "features.3.conv", or "features.3.add" for a function inside."""
    if node.op == "call_module":
        return str(node.target)
    stack = node.meta.get("nn_module_stack") or {}
    path = next((str(key) for key in reversed(stack) if key), "")
    path = path.split("@")[0]
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "op")
    return f"{path}.{name}" if path else str(name)


def _kind(node: fx.Node, module: nn.Module | None) -> str:
    if module is not None:
        kind = type(module)
        if kind.__module__.startswith("torch.nn."):
            return f"nn.{kind.__name__}"
        return f"{kind.__module__}.{kind.__name__}"
    if node.op == "call_method":
        return f".{node.target}()"
    name = getattr(node.target, "__name__", str(node.target))
    home = getattr(node.target, "__module__", "") or ""
    return name if home in ("builtins", "_operator", "") else f"{home}.{name}"


def _first_line(error: Exception) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0][:200]


def _announce(graph: FloatGraph) -> None:
    """Say where the network forces operators that cost memory or time."""
    for op in graph.ops:
        if op.operator == "PAD":
            graph.warnings.append(
                f"layer '{op.layer}' needs a PAD operator, which holds its input twice in memory: "
                "pad as TFLite's SAME does (nn.ZeroPad2d with the smaller half before)"
            )
        if op.operator == "RESHAPE":
            graph.warnings.append(f"layer '{op.layer}' needs a RESHAPE operator")


def run_float(graph: FloatGraph, images: torch.Tensor) -> dict[FloatTensor, torch.Tensor]:
    """Every activation of the float graph for a small batch [N, C, H, W], torch layout."""
    values = {graph.input: images}
    with torch.inference_mode():
        for op in graph.ops:
            values[op.output] = op.run(*(values[tensor] for tensor in op.inputs))
    return values
