"""The emulated firmware's output bytes against the TFLM interpreter's."""

import numpy as np

from deploy.tflite import DType, Graph, Tensor, parse_graph
from deploy.tflite.tflm import TflmModel


def equals_interpreter(
    data: bytes, graph: Graph, items: list[list[np.ndarray]], answers: list[bytes]
) -> bool:
    """Whether every output byte is the interpreter's.

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
    for arrays, answer in zip(items, answers, strict=True):
        given = [
            _as_declared(array, graph.tensors[own], file.tensors[theirs])
            for array, own, theirs in zip(arrays, graph.inputs, file.inputs, strict=True)
        ]
        interpreter.invoke_all(given)
        start = 0
        for position, (own, theirs) in enumerate(zip(graph.outputs, file.outputs, strict=True)):
            tensor = graph.tensors[own]
            raw = np.frombuffer(answer, np.dtype(tensor.dtype.numpy), tensor.elements, start)
            start += tensor.bytes
            ours = _as_declared(raw, tensor, file.tensors[theirs])
            if interpreter.output(position).tobytes() != ours.tobytes():
                return False
    return True


def _as_declared(codes: np.ndarray, own: Tensor, declared: Tensor) -> np.ndarray:
    """Codes of our tensor as what the file's input or output holds."""
    if declared.dtype is not DType.FLOAT32 or own.quantization is None:
        return codes
    offset = codes.astype(np.int32) - own.quantization.zero_points[0]
    return np.asarray(np.float32(own.quantization.scales[0]) * offset.astype(np.float32))
