# SPDX-License-Identifier: Apache-2.0
"""A flatbuffer that another converter made of the same network, with our names for its tensors."""

from __future__ import annotations

from dataclasses import replace

from ai_edge_litert import schema_py_generated as schema

from deploy.core.errors import DeployError
from deploy.quantize.network import QuantizedModel
from deploy.quantize.writer import pack
from deploy.tflite import Operator, parse_graph


def adopt(own: QuantizedModel, flatbuffer: bytes, name: str) -> QuantizedModel:
    """``flatbuffer`` in place of our own writer's, its tensors under the names of torch's layers.

    Both hold the same operators in the same order, or it cannot be told which tensor is which.

    Args:
        own: our own int8 model of the same network.
        flatbuffer: the other converter's int8 file.
        name: how messages call that file.

    Raises:
        DeployError: an operator, or the shape of its output, is another.
    """
    ours, theirs = parse_graph(own.flatbuffer, "own"), parse_graph(flatbuffer, name)
    remedy = "its tensors cannot be matched to torch's layers; quantize with our own writer"
    if len(ours.operators) != len(theirs.operators):
        raise DeployError(
            f"{name} has {len(theirs.operators)} operators, our own model of the network "
            f"{len(ours.operators)}: {remedy}"
        )
    names = {theirs.inputs[0]: ours.tensors[ours.inputs[0]].name}
    for mine, other in zip(ours.operators, theirs.operators, strict=True):
        tensor, found = ours.output(mine), theirs.output(other)
        if mine.kind != other.kind or _squeezed(tensor.shape) != _squeezed(found.shape):
            raise DeployError(
                f"{name}: operator {other.index} is {_text(other, found.shape)}, in our own model "
                f"{_text(mine, tensor.shape)}: {remedy}"
            )
        names[found.index] = tensor.name
    indices = {own_name: index for index, own_name in names.items()}
    records = []
    for record in own.tensors:
        quantization = theirs.tensors[indices[record.name]].quantization
        assert quantization is not None  # the reader takes no int8 activation without
        scale, zero_point = quantization.scales[0], quantization.zero_points[0]
        records.append(replace(record, scale=scale, zero_point=zero_point))
    return replace(own, flatbuffer=_renamed(flatbuffer, names), tensors=tuple(records))


def _squeezed(shape: tuple[int, ...]) -> tuple[int, ...]:
    """TFLM reads [1, 1, 1, C] and [1, C] alike."""
    return tuple(size for size in shape if size != 1)


def _text(operator: Operator, shape: tuple[int, ...]) -> str:
    return f"{operator.kind} {'x'.join(map(str, shape))}"


def _renamed(flatbuffer: bytes, names: dict[int, str]) -> bytes:
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(flatbuffer, 0))
    for number, tensor in enumerate(model.subgraphs[0].tensors):
        # Weights keep theirs, marked: one of them may have a name that is now an activation's.
        old = tensor.name.decode() if isinstance(tensor.name, bytes) else str(tensor.name)
        tensor.name = names.get(number, f"constant {number} {old}")
    return pack(model)
