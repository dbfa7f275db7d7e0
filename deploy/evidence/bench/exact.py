# SPDX-License-Identifier: Apache-2.0
"""The emulated firmware's output bytes against the TFLM interpreter's."""

import numpy as np

from deploy.tflite import DType, Graph, Tensor, parse_graph
from deploy.tflite.tflm import TflmModel


def equals_interpreter(
    data: bytes, graph: Graph, items: list[list[np.ndarray]], answers: list[bytes]
) -> bool:
    """Whether every output byte is the interpreter's; see :func:`differing_bytes`."""
    return not any(differing_bytes(data, graph, items, answers))


def differing_bytes(
    data: bytes, graph: Graph, items: list[list[np.ndarray]], answers: list[bytes]
) -> list[int]:
    """How many output bytes of each inference are not the interpreter's.

    A model with a float32 border has int8 inputs and outputs in the firmware: the interpreter gets
    the real numbers that the codes stand for, and its real numbers must be those of our codes.

    Args:
        data: the .tflite file.
        graph: as the compiler read it; its inputs are those of ``items``.
        items: for each inference an array for every input.
        answers: for each inference the outputs' bytes, end to end.
    """
    file = parse_graph(data, graph.name)
    interpreter = TflmModel(data)
    found = []
    for arrays, answer in zip(items, answers, strict=True):
        given = [
            _as_declared(array, graph.tensors[own], file.tensors[theirs])
            for array, own, theirs in zip(arrays, graph.inputs, file.inputs, strict=True)
        ]
        interpreter.invoke_all(given)
        start = different = 0
        for position, (own, theirs) in enumerate(zip(graph.outputs, file.outputs, strict=True)):
            tensor = graph.tensors[own]
            raw = np.frombuffer(answer, np.dtype(tensor.dtype.numpy), tensor.elements, start)
            start += tensor.bytes
            ours = np.frombuffer(
                _as_declared(raw, tensor, file.tensors[theirs]).tobytes(), np.uint8
            )
            golden = np.frombuffer(interpreter.output(position).tobytes(), np.uint8)
            different += int((ours != golden).sum()) if len(ours) == len(golden) else len(ours)
        found.append(different)
    return found


def _as_declared(codes: np.ndarray, own: Tensor, declared: Tensor) -> np.ndarray:
    """Codes of our tensor as what the file's input or output holds."""
    if declared.dtype is not DType.FLOAT32 or own.quantization is None:
        return codes
    offset = codes.astype(np.int32) - own.quantization.zero_points[0]
    return np.asarray(np.float32(own.quantization.scales[0]) * offset.astype(np.float32))
