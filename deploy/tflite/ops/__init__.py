# SPDX-License-Identifier: Apache-2.0
"""The operators that the compiler knows, one file each.

Every file offers the same names, so that adding an operator is adding a file and a line here:

- ``OPTIONS``: its options table in the schema's union;
  ``NEEDS_OPTIONS``: whether a model without that table is refused;
- ``read(options)``: the attributes, a frozen dataclass (or None);
- ``check(graph, op)``: DeployError for what the integer kernels cannot do;
- ``infer(graph, op)``: the shape of the output;
- ``lower(graph, op)``: the :class:`deploy.tflite.layer.Layer` that runs it.
"""

from typing import Protocol

from deploy.tflite.flatbuffer import Table
from deploy.tflite.ir import Graph, Operator
from deploy.tflite.layer import Layer
from deploy.tflite.ops import (
    add,
    average_pool_2d,
    concatenation,
    conv_2d,
    depthwise_conv_2d,
    dequantize,
    fully_connected,
    hard_swish,
    logistic,
    max_pool_2d,
    mean,
    mul,
    pad,
    quantize,
    relu,
    relu6,
    reshape,
    resize_bilinear,
    resize_nearest_neighbor,
    softmax,
    strided_slice,
    sub,
    tanh,
    transpose,
)
from deploy.tflite.schema import BuiltinOperator, BuiltinOptions


class OperatorModule(Protocol):
    """The verbs of an operator's file."""

    OPTIONS: BuiltinOptions
    NEEDS_OPTIONS: bool

    def read(self, options: Table | None) -> object:
        """The attributes from the options table."""

    def check(self, graph: Graph, op: Operator) -> None:
        """Raise DeployError where the operator cannot be compiled."""

    def infer(self, graph: Graph, op: Operator) -> tuple[int, ...]:
        """The shape of the output."""

    def lower(self, graph: Graph, op: Operator) -> Layer:
        """The kernel call."""


_CODES = frozenset(BuiltinOperator)

_OPERATORS: dict[str, OperatorModule] = {
    "ADD": add,
    "AVERAGE_POOL_2D": average_pool_2d,
    "CONCATENATION": concatenation,
    "CONV_2D": conv_2d,
    "DEPTHWISE_CONV_2D": depthwise_conv_2d,
    "DEQUANTIZE": dequantize,
    "FULLY_CONNECTED": fully_connected,
    "HARD_SWISH": hard_swish,
    "LOGISTIC": logistic,
    "MAX_POOL_2D": max_pool_2d,
    "MEAN": mean,
    "MUL": mul,
    "PAD": pad,
    "QUANTIZE": quantize,
    "RELU": relu,
    "RELU6": relu6,
    "RESHAPE": reshape,
    "RESIZE_BILINEAR": resize_bilinear,
    "RESIZE_NEAREST_NEIGHBOR": resize_nearest_neighbor,
    "SOFTMAX": softmax,
    "STRIDED_SLICE": strided_slice,
    "SUB": sub,
    "TANH": tanh,
    "TRANSPOSE": transpose,
}


def find_operator(kind: str) -> OperatorModule | None:
    """The file of an operator by its schema name, None where there is none."""
    return _OPERATORS.get(kind)


def supported_operators() -> list[str]:
    """The names of the operators that can be compiled, sorted."""
    return sorted(_OPERATORS)


def operator_name(code: int, custom: str) -> str:
    """The schema's name of a builtin operator code, with the custom code where there is one."""
    if code == BuiltinOperator.CUSTOM:
        return f"CUSTOM {custom!r}"
    return BuiltinOperator(code).name if code in _CODES else f"builtin operator {code}"
