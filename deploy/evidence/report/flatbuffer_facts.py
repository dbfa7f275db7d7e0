# SPDX-License-Identifier: Apache-2.0
"""What a .tflite file is made of, for naming the cause of a difference in bytes or instructions."""

import math
from dataclasses import dataclass

from ai_edge_litert import schema_py_generated as schema

from deploy.core.errors import DeployError

_WEIGHTED = (
    schema.BuiltinOperator.CONV_2D,
    schema.BuiltinOperator.DEPTHWISE_CONV_2D,
    schema.BuiltinOperator.FULLY_CONNECTED,
)


@dataclass(frozen=True)
class FlatbufferFacts:
    """Bytes by kind, and the requantization shift of every output channel.

    ``parts`` maps a kind of content to its bytes; they sum to the file. ``shifts`` has one list an
    operator with weights: the binary exponent of input scale x weight scale / output scale.
    """

    parts: dict[str, int]
    shifts: list[list[int]]


def read_facts(data: bytes, name: str) -> FlatbufferFacts:
    """Take apart the flatbuffer ``data``.

    Raises:
        DeployError: ``data`` is no flatbuffer with one subgraph.
    """
    try:
        if data[4:8] != b"TFL3":
            raise ValueError("no TFL3 mark")
        model = schema.ModelT.InitFromPackedBuf(data, 0)
        return FlatbufferFacts(_parts(model, len(data)), _shifts(model))
    except Exception as error:  # the generated reader raises whatever broken offsets lead it into
        raise DeployError(f"{name}: not a readable .tflite ({error}); export it again") from error


def _parts(model: schema.ModelT, total: int) -> dict[str, int]:
    def size(index: int) -> int:
        content = model.buffers[index].data
        return 0 if content is None else len(content)

    tensors = model.subgraphs[0].tensors
    quantized = [tensor.quantization for tensor in tensors if tensor.quantization is not None]
    vectors = (
        (q.scale, 4) if kind == "scale" else (q.zeroPoint, 8)
        for q in quantized
        for kind in ("scale", "zeroPoint")
    )
    parts = {
        "weights and biases": sum(size(index) for index in {tensor.buffer for tensor in tensors}),
        "scales and zero points": sum(
            0 if vector is None else width * len(vector) for vector, width in vectors
        ),
        "tensor names": sum(len(tensor.name or b"") for tensor in tensors),
        "metadata": sum(size(entry.buffer) for entry in model.metadata or []),
    }
    parts["structure"] = total - sum(parts.values())
    return parts


def _shifts(model: schema.ModelT) -> list[list[int]]:
    graph = model.subgraphs[0]
    shifts = []
    for operator in graph.operators:
        if model.operatorCodes[operator.opcodeIndex].builtinCode not in _WEIGHTED:
            continue
        source, weights = (graph.tensors[operator.inputs[i]].quantization for i in (0, 1))
        target = graph.tensors[operator.outputs[0]].quantization
        factor = float(source.scale[0]) / float(target.scale[0])
        shifts.append([math.frexp(float(scale) * factor)[1] for scale in weights.scale])
    return shifts
