# SPDX-License-Identifier: Apache-2.0
"""Arithmetic on shapes, which converters write in front of a RESHAPE: SHAPE, STRIDED_SLICE, PACK.

Every shape is known at compile time, and RESHAPE takes the one that its output declares, so what
only computes its shape operand computes nothing that is used.
"""

from dataclasses import replace

from deploy.tflite.ir import DType, Graph

_INTEGERS = (DType.INT32, DType.INT64)


def strip_shape_arithmetic(graph: Graph) -> Graph:
    """The graph without operators on integers whose results only say how to reshape."""
    needed = set(graph.outputs)
    kept = []
    for op in reversed(graph.operators):
        integers = bool(op.outputs) and all(
            graph.tensors[index].dtype in _INTEGERS for index in op.outputs
        )
        if integers and not needed.intersection(op.outputs):
            continue
        if op.kind == "RESHAPE" and len(op.inputs) > 1 and op.inputs[1] >= 0:
            shape = graph.tensors[op.inputs[1]]
            if shape.data is None and shape.dtype in _INTEGERS and shape.index not in graph.inputs:
                op = replace(op, inputs=op.inputs[:1])
        needed.update(op.inputs)
        kept.append(op)
    return replace(graph, operators=tuple(reversed(kept)))
