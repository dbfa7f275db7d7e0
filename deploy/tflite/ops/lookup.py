# SPDX-License-Identifier: Apache-2.0
"""Operators that replace every byte by an entry of a table of 256.

What the interpreter computes for an element depends on that element alone, so it is computed here,
once for each of the 256 bytes, and the kernel looks it up.
"""

from collections.abc import Callable

import numpy as np

from deploy.tflite.ir import DType, Graph, Operator
from deploy.tflite.layer import Layer, RowWindow
from deploy.tflite.numerics import require_int8
from deploy.tflite.parameters import LookupParams
from deploy.tflite.values import Constant


def check_lookup(graph: Graph, op: Operator) -> None:
    """One computed int8 input, one int8 output."""
    source = graph.input(op, 0)
    require_int8(graph, op, source, "input")
    require_int8(graph, op, graph.output(op), "output")
    refuse_constant(graph, op, 0)


def refuse_constant(graph: Graph, op: Operator, position: int) -> None:
    """Refuse an input that is known at compile time."""
    if graph.input(op, position).data is not None:
        raise graph.error(op, "a constant input is not supported; fold it before export", position)


def infer_lookup(graph: Graph, op: Operator) -> tuple[int, ...]:
    """The input's shape."""
    return graph.input(op, 0).shape


def lower_lookup(
    graph: Graph, op: Operator, function: Callable[[int], int], position: int = 0
) -> Layer:
    """The look-up of ``function`` over every value that the input at ``position`` can have."""
    source, target = graph.input(op, position), graph.output(op)
    # By the stored byte: 0 is int8 0, 255 is int8 -1.
    values = np.arange(256, dtype=np.uint8).view(DType(source.dtype).numpy)
    table = np.array([function(int(v)) for v in values], np.int64)
    return Layer(
        op.index, op.kind, target.name, (source.index,), op.outputs,
        kernel="nb_lookup_s8",
        params=LookupParams(
            table=Constant(table.astype(target.dtype.numpy).view(np.int8), "tables"),
            row=target.elements // target.height,
        ),
        in_place=(0,),
        rows=RowWindow(),
    )  # fmt: skip
