"""Which layer feeds which, for any ``nn.Module``: by torch.fx, or by torch.export if that fails.

Expansion needs three things of a network: which BN follows a layer, which activation follows that,
and whether anything else reads the values in between.
"""

import copy
import operator
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn

from netbooster.errors import NetBoosterError

ACTIVATIONS = (
    nn.ReLU,
    nn.ReLU6,
    nn.Hardswish,
    nn.SiLU,
    nn.GELU,
    nn.Hardtanh,
    nn.LeakyReLU,
    nn.ELU,
    nn.CELU,
    nn.SELU,
    nn.Mish,
    nn.Softplus,
    nn.Softsign,
    nn.Sigmoid,
    nn.Hardsigmoid,
    nn.Tanh,
)
_TRANSPARENT = (nn.Identity, nn.Dropout, nn.Dropout2d, nn.ZeroPad2d)
_ACTIVATION_FUNCTIONS: dict[Any, Callable[[], nn.Module]] = {
    F.relu: nn.ReLU,
    torch.relu: nn.ReLU,
    torch.relu_: nn.ReLU,
    F.relu6: nn.ReLU6,
    F.hardswish: nn.Hardswish,
    F.silu: nn.SiLU,
    F.gelu: nn.GELU,
    "relu": nn.ReLU,
    "relu_": nn.ReLU,
}
_ATEN_ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "relu_": nn.ReLU,
    "relu6": nn.ReLU6,
    "hardswish": nn.Hardswish,
    "hardswish_": nn.Hardswish,
    "silu": nn.SiLU,
    "silu_": nn.SiLU,
    "gelu": nn.GELU,
}


@dataclass
class Step:
    """One operation of a forward pass.

    Attributes:
        name: qualified name of the module that does it, None for a function.
        activation: the elementwise activation it is, as a module.
        transparent: padding or dropout, which stand between two layers without being one.
        readers: the operations that read its result.
    """

    name: str | None = None
    module: nn.Module | None = None
    activation: nn.Module | None = None
    transparent: bool = False
    readers: list["Step"] = field(default_factory=list)

    def only_reader(self) -> "Step | None":
        """The one operation that reads the result, None if there are several or none."""
        return self.readers[0] if len(self.readers) == 1 else None


def trace_steps(model: nn.Module, example_input: torch.Tensor | None = None) -> list[Step]:
    """Operations of a network in order of execution.

    Args:
        example_input: needed for networks whose Python code torch.fx cannot follow.

    Raises:
        NetBoosterError: the network can be traced in neither way.
    """
    try:
        graph = fx.Tracer().trace(model)
    except Exception as error:  # tracing runs the network's own code, which may raise anything
        if example_input is None:
            raise NetBoosterError(
                f"torch.fx cannot trace {type(model).__name__} ({_line(error)}); "
                "pass example_input, so that torch.export can be tried"
            ) from error
        return _export_steps(model, example_input)
    return _fx_steps(model, graph)


def repeated_names(steps: list[Step]) -> set[str]:
    """Modules that run more than once in a forward pass; replacing one would change all uses."""
    counts = Counter(step.name for step in steps if step.name is not None)
    return {name for name, count in counts.items() if count > 1}


def _fx_steps(model: nn.Module, graph: fx.Graph) -> list[Step]:
    steps: dict[fx.Node, Step] = {}
    for node in graph.nodes:
        step = Step()
        if node.op == "call_module":
            step.name = str(node.target)
            step.module = model.get_submodule(step.name)
            if isinstance(step.module, ACTIVATIONS):
                step.activation = step.module
            step.transparent = isinstance(step.module, _TRANSPARENT)
        elif node.op in ("call_function", "call_method"):
            if node.target in _ACTIVATION_FUNCTIONS:
                step.activation = _activation_of_call(node)
            step.transparent = node.target in (F.pad, F.dropout)
        elif node.op == "get_attr":
            step.name = None
        steps[node] = step
    return _link(steps)


def _activation_of_call(node: fx.Node) -> nn.Module:
    if node.target is F.gelu:
        return nn.GELU(approximate=str(node.kwargs.get("approximate", "none")))
    return _ACTIVATION_FUNCTIONS[node.target]()


def _export_steps(model: nn.Module, example_input: torch.Tensor) -> list[Step]:
    try:
        program = torch.export.export(copy.deepcopy(model).eval(), (example_input,))
    except Exception as error:
        raise NetBoosterError(
            f"neither torch.fx nor torch.export can trace {type(model).__name__}: {_line(error)}"
        ) from error
    names = {**program.graph_signature.inputs_to_parameters}
    steps: dict[fx.Node, Step] = {}
    for node in program.graph.nodes:
        step = Step()
        if node.op == "call_function" and node.target is not operator.getitem:
            label = str(getattr(node.target, "overloadpacket", node.target)).rsplit(".", 1)[-1]
            if label in ("conv2d", "linear", "batch_norm"):
                weight = node.args[1]
                parameter = names.get(weight.name) if isinstance(weight, fx.Node) else None
                if parameter is not None:
                    step.name = parameter.rpartition(".")[0]
                    step.module = model.get_submodule(step.name)
            elif label in _ATEN_ACTIVATIONS:
                step.activation = _ATEN_ACTIVATIONS[label]()
                if label == "gelu":
                    step.activation = nn.GELU(str(node.kwargs.get("approximate", "none")))
            elif label in ("hardtanh", "hardtanh_"):
                low, high = [*node.args[1:], -1.0, 1.0][:2]
                step.activation = nn.ReLU6() if (low, high) == (0, 6) else nn.Hardtanh(low, high)
            step.transparent = label in ("pad", "constant_pad_nd", "dropout", "feature_dropout")
        steps[node] = step
    return _link(steps)


def _link(steps: dict[fx.Node, Step]) -> list[Step]:
    for node, step in steps.items():
        step.readers = [steps[user] for user in node.users]
    return list(steps.values())


def _line(error: BaseException) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
