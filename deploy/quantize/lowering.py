# SPDX-License-Identifier: Apache-2.0
"""How a torch operator becomes an operator of the float graph: a register of small functions.

A file in ``deploy/quantize/ops/`` decorates a function with ``@lowers(...)``, naming the module
classes, functions and tensor methods that it understands. The function gets the call with all
arguments resolved and answers with the tensor that holds the result (or with a plain Python value,
for ``x.size(0)`` and the like).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from deploy.core.errors import DeployError
from deploy.quantize.graph import FloatGraph, FloatOp, FusedOp
from deploy.quantize.tensors import Activation, FloatTensor

Lower = Callable[["Lowering", "Call"], Any]
_REGISTER: dict[Any, Lower] = {}


def lowers(*targets: Any) -> Callable[[Lower], Lower]:
    """Register a function for module classes, functions, or tensor methods (by name)."""

    def register(function: Lower) -> Lower:
        for target in targets:
            _REGISTER[target] = function
        return function

    return register


def find_lowering(target: Any) -> Lower | None:
    """The function registered for a module class, function or method name."""
    return _REGISTER.get(target)


@dataclass
class Call:
    """One torch call: ``layer`` is its module path, ``module`` is None for functions."""

    layer: str
    kind: str  # what error messages call it: "nn.Conv2d", "torch.flatten", ".view()"
    module: nn.Module | None
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def get(self, index: int, name: str, default: Any = None) -> Any:
        """An argument by position or name; for modules, the module's attribute of that name."""
        if self.module is not None and index > 0:
            return getattr(self.module, name, default)
        if len(self.args) > index:
            return self.args[index]
        return self.kwargs.get(name, default)

    def tensor(self, index: int = 0, name: str = "input") -> FloatTensor:
        """An argument that must be an activation."""
        value = self.get(index, name)
        if not isinstance(value, FloatTensor):
            raise self.error(f"argument {index + 1} must be an activation, not {_short(value)}")
        return value

    def image(self, index: int = 0) -> FloatTensor:
        """An argument that must be a feature map [1, H, W, C]."""
        value = self.tensor(index)
        if len(value.shape) != 4:
            raise self.error(f"it needs a feature map, but reads a tensor of shape {value.shape}")
        return value

    def error(self, reason: str) -> DeployError:
        """A one-line error that names the layer."""
        return DeployError(f"layer '{self.layer}' ({self.kind}) cannot be quantized: {reason}")


def _short(value: Any) -> str:
    if isinstance(value, torch.Tensor):
        return f"a constant of shape {tuple(value.shape)}"
    return repr(value) if isinstance(value, int | float | str) else type(value).__name__


class Lowering:
    """The graph under construction."""

    def __init__(self, graph: FloatGraph) -> None:
        self.graph = graph
        self._names: dict[str, int] = {graph.input.name: 1}
        self._producers: dict[int, FloatOp] = {}

    def tensor(self, name: str, shape: tuple[int, ...]) -> FloatTensor:
        """A new activation with a unique name."""
        count = self._names[name] = self._names.get(name, 0) + 1
        return FloatTensor(name if count == 1 else f"{name}:{count}", shape)

    def add(self, op: FloatOp) -> FloatTensor:
        """Append an operator; answers with its output."""
        self.graph.ops.append(op)
        self._producers[id(op.output)] = op
        return op.output

    def producer(self, tensor: FloatTensor) -> FloatOp | None:
        """The operator that writes ``tensor``."""
        return self._producers.get(id(tensor))

    def exclusive_producer(self, tensor: FloatTensor) -> FloatOp | None:
        """The operator that writes ``tensor``, if only the current call reads it."""
        return self.producer(tensor) if tensor.readers == 1 else None

    def unfused_producer(self, tensor: FloatTensor) -> FusedOp | None:
        """A producer that can still take on an activation or a batch norm."""
        op = self.exclusive_producer(tensor)
        fusable = isinstance(op, FusedOp) and op.activation is Activation.NONE
        return op if fusable and isinstance(op, FusedOp) else None


def pair(value: Any) -> tuple[int, int]:
    """Torch's ``int | (int, int)``."""
    if isinstance(value, tuple | list):
        return (int(value[0]), int(value[-1]))
    return int(value), int(value)


def constant(call: Call, value: torch.Tensor, what: str) -> np.ndarray:
    """A parameter as float64; NaN or infinity is refused by name."""
    array = value.detach().cpu().to(torch.float64).numpy()
    if not np.isfinite(array).all():
        raise call.error(f"its {what} holds NaN or infinity; train it again from a sound state")
    return array
