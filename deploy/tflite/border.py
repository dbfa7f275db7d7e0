# SPDX-License-Identifier: Apache-2.0
"""A model whose inputs or outputs are float32 around an int8 inside.

There is no float arithmetic in the firmware. A QUANTIZE of a float32 input is the caller's: the
int8 tensor behind it becomes the model's input, with its scale and zero point in ``nb_model``; a
caller that has floats computes round(x / scale) + zero_point itself. In the same way a DEQUANTIZE
that makes a float32 output is left out, and the int8 tensor in front of it is the output.
"""

from dataclasses import replace

from deploy.tflite.ir import DType, Graph, Operator, Tensor


def strip_float_border(graph: Graph) -> Graph:
    """The graph without QUANTIZE at float32 inputs and DEQUANTIZE at float32 outputs.

    Where a border cannot be moved (the float tensor is read by another operator as well) it stays,
    and the checks that follow refuse it by name.
    """
    inputs, outputs = list(graph.inputs), list(graph.outputs)
    readers, writers = _users(graph, "inputs"), _users(graph, "outputs")
    dropped: set[int] = set()
    for place, index in enumerate(inputs):
        if graph.tensors[index].dtype is not DType.FLOAT32 or index in outputs:
            continue
        op = _alone(readers.get(index), "QUANTIZE")
        if op is None or op.outputs[0] in inputs or not _is_int8(graph.tensors[op.outputs[0]]):
            continue
        inputs[place] = op.outputs[0]
        dropped.add(op.index)
    for place, index in enumerate(outputs):
        if graph.tensors[index].dtype is not DType.FLOAT32 or index in readers:
            continue
        op = _alone(writers.get(index), "DEQUANTIZE")
        if op is None or op.inputs[0] in outputs or not _is_int8(graph.tensors[op.inputs[0]]):
            continue
        outputs[place] = op.inputs[0]
        dropped.add(op.index)
    return replace(
        graph,
        operators=tuple(op for op in graph.operators if op.index not in dropped),
        inputs=tuple(inputs),
        outputs=tuple(outputs),
    )


def _users(graph: Graph, side: str) -> dict[int, list[Operator]]:
    """The operators that name each tensor among their ``inputs`` or ``outputs``."""
    found: dict[int, list[Operator]] = {}
    for op in graph.operators:
        for index in getattr(op, side):
            found.setdefault(index, []).append(op)
    return found


def _alone(users: list[Operator] | None, kind: str) -> Operator | None:
    """The one user, where it is a whole operator of that kind."""
    if users is None or len(users) != 1:
        return None
    (op,) = users
    whole = op.kind == kind and len(op.inputs) == len(op.outputs) == 1 and op.inputs[0] >= 0
    return op if whole else None


def _is_int8(tensor: Tensor) -> bool:
    quantization = tensor.quantization
    return (
        tensor.dtype is DType.INT8
        and tensor.data is None
        and quantization is not None
        and len(quantization.scales) == 1
    )
