# SPDX-License-Identifier: Apache-2.0
"""PAD folded into the convolutions that read it: their kernels pad by themselves."""

from dataclasses import replace

from deploy.tflite.ir import Graph, Operator
from deploy.tflite.ops import pad
from deploy.tflite.ops.window import FoldedPad

_PADDING = ("CONV_2D", "DEPTHWISE_CONV_2D")


def fold_pads(graph: Graph) -> Graph:
    """Every PAD of rows and columns that only convolutions read is gone.

    What it adds is the zero point, as what a convolution pads with, so every byte stays. The
    attributes of the convolution say how its input was padded.
    """
    readers: dict[int, list[Operator]] = {}
    for op in graph.operators:
        for index in set(op.inputs):
            readers.setdefault(index, []).append(op)
    folded: dict[int, Operator] = {}
    for op in graph.operators:
        if op.kind == "PAD" and op.outputs[0] not in graph.outputs:
            own = readers.get(op.outputs[0], [])
            if own and all(r.kind in _PADDING for r in own) and _spatial(graph, op):
                folded[op.outputs[0]] = op
    operators = []
    for op in graph.operators:
        if op.outputs[0] in folded:
            continue
        if op.kind in _PADDING and op.inputs[0] in folded:
            found = folded[op.inputs[0]]
            amounts = pad.paddings(graph, found)
            _, height, width, _ = graph.output(found).shape
            own_pad = FoldedPad(int(amounts[1][0]), int(amounts[2][0]), height, width)
            op = replace(
                op,
                inputs=(found.inputs[0], *op.inputs[1:]),
                attributes=replace(op.attributes, folded=own_pad),
            )
        operators.append(op)
    return replace(graph, operators=tuple(operators))


def _spatial(graph: Graph, op: Operator) -> bool:
    amounts = pad.paddings(graph, op)
    return len(amounts) == 4 and not amounts[0].any() and not amounts[3].any()
