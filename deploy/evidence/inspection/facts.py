# SPDX-License-Identifier: Apache-2.0
"""What is in a .tflite file: operators, shapes, scales, MACs, bytes, memory under each schedule.

Looks at any TFLite model, float and foreign ones too; what only the compiler can tell (memory by
schedule) is left out with the compiler's own reason where it refuses the model.
"""

from __future__ import annotations

import math
import tempfile
from dataclasses import dataclass
from pathlib import Path

from deploy.codegen import SCHEDULES, compile_model
from deploy.core.errors import DeployError
from deploy.tflite import Graph, Operator, Tensor, parse_graph


@dataclass(frozen=True)
class OperatorFacts:
    """One operator of the file.

    Attributes:
        inputs: operators whose results it reads, -1 for an input of the model.
        scale, zero_point: of its output; None where it has no quantization.
        weight_scales: how many scales its weights have; 0 where it has no weights.
        macs: multiply-accumulates, counted as the papers do (padding included).
        constant_bytes: weights and biases in the file.
        live_bytes: activations that are needed while it runs, layer by layer.
    """

    index: int
    operator: str
    name: str
    inputs: tuple[int, ...]
    output_shape: tuple[int, ...]
    type: str
    scale: float | None
    zero_point: int | None
    weight_scales: int
    macs: int
    constant_bytes: int
    output_bytes: int
    live_bytes: int


@dataclass(frozen=True)
class ScheduleFacts:
    """What the compiler needs under one schedule; ``peak_layer`` is where the arena is full."""

    schedule: str
    arena_bytes: int
    peak_layer: str
    weights_bytes: int
    tables_bytes: int


@dataclass(frozen=True)
class Inspection:
    """A model as :func:`inspect_model` found it.

    ``refusal`` is the compiler's reason for refusing it, None where it compiles.
    """

    name: str
    sha256: str
    file_bytes: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    operators: tuple[OperatorFacts, ...]
    schedules: tuple[ScheduleFacts, ...]
    refusal: str | None

    @property
    def macs(self) -> int:
        """Of the whole model."""
        return sum(op.macs for op in self.operators)

    @property
    def constant_bytes(self) -> int:
        """Weights and biases in the file."""
        return sum(op.constant_bytes for op in self.operators)


def inspect_model(data: bytes, name: str) -> Inspection:
    """Look at a model.

    Args:
        data: a .tflite flatbuffer.
        name: how messages call it.

    Raises:
        DeployError: the bytes are not a TFLite model or break the format.
    """
    graph = parse_graph(data, name)
    schedules, refusal = _schedules(data, name)
    return Inspection(
        name=name,
        sha256=graph.sha256,
        file_bytes=len(data),
        inputs=tuple(_describe(graph.tensors[i]) for i in graph.inputs),
        outputs=tuple(_describe(graph.tensors[i]) for i in graph.outputs),
        operators=_operators(graph),
        schedules=schedules,
        refusal=refusal,
    )


def _schedules(data: bytes, name: str) -> tuple[tuple[ScheduleFacts, ...], str | None]:
    found: list[ScheduleFacts] = []
    with tempfile.TemporaryDirectory(prefix="nb_inspect_") as folder:
        for schedule in SCHEDULES:
            try:
                plan = compile_model(data, Path(folder), name=name, schedule=schedule)
            except DeployError as error:
                return tuple(found), str(error)
            peak = plan.layers[plan.arena_peak_layer].name if plan.layers else ""
            found.append(
                ScheduleFacts(
                    schedule, plan.arena_bytes, peak, plan.weights_bytes, plan.tables_bytes
                )
            )
    return tuple(found), None


def _operators(graph: Graph) -> tuple[OperatorFacts, ...]:
    writers = {index: op.index for op in graph.operators for index in op.outputs}
    last = {index: op.index for op in graph.operators for index in op.inputs if index >= 0}
    last.update(dict.fromkeys(graph.outputs, len(graph.operators)))
    facts = []
    for op in graph.operators:
        read = [graph.tensors[index] for index in op.inputs if index >= 0]
        constants = [tensor for tensor in read if tensor.data is not None]
        weights = constants[0].quantization if constants else None
        output = graph.output(op)
        own = output.quantization
        live = [
            tensor
            for tensor in graph.tensors
            if tensor.data is None
            and (writers.get(tensor.index, -1) <= op.index <= last.get(tensor.index, -2))
            or tensor.index in op.outputs
        ]
        facts.append(
            OperatorFacts(
                index=op.index,
                operator=op.kind,
                name=output.name,
                inputs=tuple(writers.get(t.index, -1) for t in read if t.data is None),
                output_shape=output.shape,
                type=output.dtype.name.lower(),
                scale=own.scales[0] if own else None,
                zero_point=own.zero_points[0] if own else None,
                weight_scales=len(weights.scales) if weights else 0,
                macs=_macs(graph, op),
                constant_bytes=sum(tensor.bytes for tensor in constants),
                output_bytes=output.bytes,
                live_bytes=sum(tensor.bytes for tensor in live),
            )
        )
    return tuple(facts)


def _macs(graph: Graph, op: Operator) -> int:
    """From shapes alone, so that float models have a number too."""
    if len(op.inputs) < 2 or op.inputs[1] < 0 or not op.outputs:
        return 0
    weights, output = graph.tensors[op.inputs[1]].shape, graph.output(op)
    if op.kind == "CONV_2D" and len(weights) == 4:
        return output.elements * math.prod(weights[1:])
    if op.kind == "DEPTHWISE_CONV_2D" and len(weights) == 4:
        return output.elements * math.prod(weights[1:3])
    if op.kind == "FULLY_CONNECTED" and len(weights) == 2:
        return output.elements * weights[1]
    return 0


def _describe(tensor: Tensor) -> str:
    text = f"{tensor.name} {tensor.dtype.name.lower()} {list(tensor.shape)}"
    own = tensor.quantization
    if own is not None:
        text += f" scale {own.scales[0]:.6g} zero point {own.zero_points[0]}"
    return text
