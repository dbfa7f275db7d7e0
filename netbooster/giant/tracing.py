# SPDX-License-Identifier: Apache-2.0
"""Which layer feeds which, for any ``nn.Module``: by torch.fx, or by torch.export if that fails.

Expansion needs three things of a network: which BN follows a layer, which activation follows that,
and whether anything else reads the values in between. Nothing is recognized by the name of a class:
an activation is whatever turns out to be elementwise when it is tried, be it a module, a function
or several operations written out.
"""

import copy
import operator
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn

from netbooster.common.errors import NetBoosterError
from netbooster.giant.activations import (
    function_module,
    is_affine,
    is_identity,
    known_activation,
    try_elementwise,
)

_TRANSPARENT = (nn.Identity, nn.Dropout, nn.Dropout2d, nn.ZeroPad2d)
_LAYERS = (nn.Conv2d, nn.Linear, nn.modules.batchnorm._BatchNorm)
_LAYER_FUNCTIONS = (F.conv2d, torch.conv2d, F.linear, F.batch_norm)
_LONGEST_ACTIVATION = 8
"""Most operations that are tried together as one activation."""


@dataclass
class Step:
    """One operation of a forward pass.

    Attributes:
        name: qualified name of the module that does it, None for a function.
        module: that module.
        called: whether the module itself is called, so that another can take its place; not so
            where the network's code only reads its weight.
        activation: the elementwise activation it is, as a module.
        transparent: padding or dropout, which stand between two layers without being one.
        readers: the operations that read its result.
        written_out: an activation of several operations that begins with this result, and the
            last of them.
    """

    name: str | None = None
    module: nn.Module | None = None
    called: bool = False
    activation: nn.Module | None = None
    transparent: bool = False
    readers: list["Step"] = field(default_factory=list)
    written_out: "tuple[nn.Module, Step] | None" = None

    def only_reader(self) -> "Step | None":
        """The one operation that reads the result, None if there are several or none."""
        return self.readers[0] if len(self.readers) == 1 else None

    def activated(self) -> "tuple[nn.Module, Step] | None":
        """The activation that alone reads the result, and the step that gives its output."""
        reader = self.only_reader()
        if reader is not None and reader.activation is not None:
            return reader.activation, reader
        return self.written_out


def trace_steps(model: nn.Module, example_input: torch.Tensor | None = None) -> list[Step]:
    """Operations of a network in order of execution; the network itself is left alone.

    Args:
        example_input: needed for networks whose Python code torch.fx cannot follow.

    Raises:
        NetBoosterError: the network can be traced in neither way.
    """
    # A copy in eval mode: tracing runs the network's own code, which may count batches.
    silent = copy.deepcopy(model).eval()
    try:
        graph = _Tracer().trace(silent)
    except Exception as error:  # and which may raise anything
        if example_input is None:
            raise NetBoosterError(
                f"torch.fx cannot trace {type(model).__name__} ({_line(error)}); "
                "pass example_input, so that torch.export can be tried"
            ) from error
        return _export_steps(model, silent, example_input)
    return _fx_steps(model, silent, graph)


def repeated_names(steps: list[Step]) -> set[str]:
    """Modules that run more than once in a forward pass; replacing one would change all uses."""
    counts = Counter(step.name for step in steps if step.name is not None)
    return {name for name, count in counts.items() if count > 1}


class _Tracer(fx.Tracer):
    """Keeps layers and activations whole that a user's own classes define."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        if super().is_leaf_module(m, module_qualified_name):
            return True
        if any(isinstance(m, kind) and type(m).forward is kind.forward for kind in _LAYERS):
            return True
        return try_elementwise(m)


def _fx_steps(model: nn.Module, silent: nn.Module, graph: fx.Graph) -> list[Step]:
    steps: dict[fx.Node, Step] = {}
    for node in graph.nodes:
        step = Step()
        if node.op == "call_module":
            step.name, step.called = str(node.target), True
            step.module = model.get_submodule(step.name)
            if isinstance(step.module, _TRANSPARENT):
                step.transparent = True
            elif try_elementwise(step.module):
                step.transparent = is_identity(step.module)
                step.activation = None if is_affine(step.module) else step.module
        elif node.op in ("call_function", "call_method"):
            step.activation = known_activation(node)
            step.transparent = node.target in (F.pad, F.dropout)
            if node.target in _LAYER_FUNCTIONS:
                _name_weight(step, node, model, lambda n: n.target if n.op == "get_attr" else None)
        steps[node] = step
    return _link(silent, steps)


def _export_steps(model: nn.Module, silent: nn.Module, example: torch.Tensor) -> list[Step]:
    try:
        program = torch.export.export(silent, (example,))
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
                _name_weight(step, node, model, lambda n: names.get(n.name))
                callers = list(node.meta.get("nn_module_stack", {}).values())
                step.called = bool(callers) and callers[-1][0] == step.name
            step.activation = known_activation(node)
            step.transparent = label in ("pad", "constant_pad_nd", "dropout", "feature_dropout")
        steps[node] = step
    return _link(silent, steps)


def _name_weight(step: Step, node: fx.Node, model: nn.Module, parameter_of: Any) -> None:
    """Name the module whose ``weight`` a convolution, product or BN reads, if it reads one."""
    index = 3 if node.target is F.batch_norm else 1  # ATen's batch_norm has weight second
    weight = node.args[index] if len(node.args) > index else node.kwargs.get("weight")
    parameter = parameter_of(weight) if isinstance(weight, fx.Node) else None
    if parameter is not None:
        step.name = str(parameter).rpartition(".")[0]
        step.module = model.get_submodule(step.name)


def _link(root: nn.Module, steps: dict[fx.Node, Step]) -> list[Step]:
    for node, step in steps.items():
        step.readers = [steps[user] for user in node.users]
    for node, step in steps.items():
        if isinstance(step.module, _LAYERS) and step.activated() is None:
            step.written_out = _written_out(root, node, steps)
    return list(steps.values())


def _written_out(
    root: nn.Module, start: fx.Node, steps: dict[fx.Node, Step]
) -> tuple[nn.Module, Step] | None:
    """The operations behind ``start`` that make up one activation, such as x * sigmoid(x)."""
    inside: list[fx.Node] = []
    found: tuple[nn.Module, Step] | None = None
    node = start.next
    while node.op != "root" and len(inside) < _LONGEST_ACTIVATION:
        inputs = node.all_input_nodes
        if inputs and all(value is start or value in inside for value in inputs):
            step = steps[node]
            calls = node.op in ("call_function", "call_method") or step.activation is not None
            if step.transparent or not calls:
                break
            inside.append(node)
            # whole where nothing but its last operation is read from outside
            if all(user in inside for value in (start, *inside[:-1]) for user in value.users):
                activation = function_module(root, start, inside)
                if not try_elementwise(activation):
                    break
                found = (activation, step)
        node = node.next
    return None if found is None or is_affine(found[0]) else found


def _line(error: BaseException) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
