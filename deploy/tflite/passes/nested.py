# SPDX-License-Identifier: Apache-2.0
"""A CONCATENATION of what another has joined along the same axis is one of all pieces.

Where pieces are written in place each can then go straight to where it ends.
"""

from dataclasses import replace

from deploy.tflite.ir import Graph, Operator


def merge_concatenations(graph: Graph) -> Graph:
    """The graph with every CONCATENATION that only another one reads, once, merged into that.

    Every operator's ``check`` must have passed, as after :func:`deploy.tflite.read_graph`.
    """
    uses: dict[int, int] = dict.fromkeys(graph.outputs, 2)  # an output has to be made
    for op in graph.operators:
        for index in op.inputs:
            uses[index] = uses.get(index, 0) + 1
    merged: dict[int, Operator] = {}  # by their outputs, the concatenations so far
    gone: set[int] = set()
    operators = []
    for op in graph.operators:
        if op.kind == "CONCATENATION":
            inputs: list[int] = []
            for index in op.inputs:
                inner = merged.get(index)
                if inner is None or uses[index] > 1 or _axis(graph, inner) != _axis(graph, op):
                    inputs.append(index)
                else:
                    inputs += inner.inputs
                    gone.add(index)
            op = replace(op, inputs=tuple(inputs))
            merged[op.outputs[0]] = op
        operators.append(op)
    return replace(graph, operators=tuple(o for o in operators if gone.isdisjoint(o.outputs)))


def _axis(graph: Graph, op: Operator) -> int:
    return int(op.attributes.axis % len(graph.output(op).shape))
