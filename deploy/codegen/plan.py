# SPDX-License-Identifier: Apache-2.0
"""The plan of a compiled model: what plan.json holds."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from deploy.core.errors import DeployError
from deploy.core.layers import layer_name
from deploy.schedule import Flow, Piece, Schedule, scratch_bytes


@dataclass(frozen=True)
class Extent:
    """Where something lies in the arena, in bytes."""

    offset: int
    bytes: int


@dataclass(frozen=True)
class PlannedTensor:
    """An activation tensor; ``first`` and ``last`` are the layers between which it is alive, and
    ``made`` is the one after which it is there as a whole (-1: an input).

    ``rows`` of it lie in the arena at a time, in ``resident_bytes``: runs of ``run`` bytes,
    ``pitch`` bytes apart. It is one run, but for pieces of a tensor that several layers write.
    """

    index: int
    name: str
    type: str
    shape: list[int]
    bytes: int
    offset: int
    resident_bytes: int
    rows: int
    run: int
    pitch: int
    first: int
    made: int
    last: int
    scale: float
    zero_point: int


@dataclass(frozen=True)
class PlannedLayer:
    """One kernel call; ``operator`` is its number in the .tflite file.

    ``stream`` is the number of the stream that it belongs to, -1 where it makes its whole map at
    once; ``batch`` are the output rows that it makes at a time.
    """

    index: int
    operator: int
    name: str
    op: str
    kernel: str
    symbol: str
    macs: int
    output_shape: list[int]
    inputs: list[Extent]
    outputs: list[Extent]
    scratch_offset: int
    scratch_bytes: int
    weight_bytes: int
    table_bytes: int
    stream: int
    batch: int


@dataclass(frozen=True)
class PlannedStream:
    """Layers ``first`` to ``last`` - 1, run a few rows at a time; ``state_offset`` is where the
    arena keeps how far each has come."""

    first: int
    last: int
    pushed: bool
    state_offset: int


@dataclass(frozen=True)
class Plan:
    """Everything that the later stages need to know about a compiled model."""

    format: int
    name: str
    tflite_sha256: str
    schedule: str
    input_mode: str
    arena_bytes: int
    arena_lower_bound: int
    arena_peak_layer: int
    weights_bytes: int
    tables_bytes: int
    input: PlannedTensor
    output: PlannedTensor
    inputs: list[PlannedTensor]
    outputs: list[PlannedTensor]
    layers: list[PlannedLayer]
    tensors: list[PlannedTensor]
    streams: list[PlannedStream]

    def to_dict(self) -> dict[str, Any]:
        """The content of plan.json."""
        return asdict(self)

    def to_json(self) -> str:
        """plan.json, byte-identical for an identical plan."""
        return json.dumps(self.to_dict(), indent=1) + "\n"

    @classmethod
    def load(cls, path: Path) -> "Plan":
        """Read a plan.json back.

        Raises:
            DeployError: the file is missing, is not JSON, or is not a plan.
        """
        try:
            raw = json.loads(path.read_text())
        except OSError as error:
            raise DeployError(
                f"cannot read {path}: {error.strerror or error}; run `netbooster compile` first"
            ) from error
        except ValueError as error:
            raise DeployError(
                f"{path}: not JSON ({error}); run `netbooster compile` again"
            ) from error
        try:
            layers = [
                PlannedLayer(**{
                    **layer,
                    "inputs": [Extent(**e) for e in layer["inputs"]],
                    "outputs": [Extent(**e) for e in layer["outputs"]],
                })
                for layer in raw["layers"]
            ]  # fmt: skip
            lists = {
                key: [PlannedTensor(**t) for t in raw[key]]
                for key in ("inputs", "outputs", "tensors")
            }
            streams = [PlannedStream(**stream) for stream in raw["streams"]]
            return cls(**{
                **raw, **lists, "layers": layers, "streams": streams,
                "input": PlannedTensor(**raw["input"]), "output": PlannedTensor(**raw["output"]),
            })  # fmt: skip
        except (KeyError, TypeError) as error:
            raise DeployError(
                f"{path}: not a plan of this version ({error}); run `netbooster compile` again"
            ) from error


def make_plan(flow: Flow, schedule: Schedule) -> Plan:
    """What plan.json says about a schedule."""
    graph, timeline = flow.graph, schedule.timeline
    offset_of = {
        index: offset
        for buffer, offset in zip(timeline.buffers, schedule.offsets, strict=True)
        for index in buffer.places
    }
    others = {
        buffer.layer: offset
        for buffer, offset in zip(timeline.buffers, schedule.offsets, strict=True)
        if buffer.layer is not None
    }

    def planned(index: int) -> PlannedTensor:
        tensor = graph.tensors[index]
        number = flow.place_of[index]
        place = flow.places[number]
        ring = timeline.rings.get(number)
        last = max((reader for reader, _ in place.readers), default=-1)
        resident = ring.rows * (tensor.bytes // tensor.height) if ring else tensor.bytes
        piece = flow.pieces.get(index, Piece(max(place.writers, default=-1), 0, resident, resident))
        quantization = tensor.quantization
        return PlannedTensor(
            tensor.index, tensor.name, tensor.dtype.numpy, list(tensor.shape), tensor.bytes,
            offset_of[number] + piece.begin,
            resident,
            ring.rows if ring else tensor.height,
            piece.run,
            piece.pitch,
            -1 if place.producer is None else place.producer,
            piece.writer,
            len(flow.layers) if place.is_output else last,
            quantization.scales[0] if quantization else 0.0,
            quantization.zero_points[0] if quantization else 0,
        )  # fmt: skip

    tensors = {index: planned(index) for index in sorted(flow.place_of)
               if flow.place_of[index] in offset_of}  # fmt: skip

    def extents(indices: tuple[int, ...]) -> list[Extent]:
        return [Extent(tensors[i].offset, tensors[i].resident_bytes) for i in indices]

    streams = [segment for segment in schedule.segments if segment.batches]
    layers = []
    for number, layer in enumerate(flow.layers):
        stream = next((i for i, s in enumerate(streams) if s.first <= number < s.last), -1)
        batch = streams[stream].batches[number - streams[stream].first] if stream >= 0 else None
        layers.append(
            PlannedLayer(
                number, layer.operator, layer.name, layer.kind, layer.kernel,
                layer_name(number), layer.macs,
                list(graph.tensors[layer.outputs[0]].shape),
                extents(layer.inputs), extents(layer.outputs),
                others.get(number, 0), scratch_bytes(layer, schedule.rows_at_a_time(number)),
                layer.bytes_of("weights"), layer.bytes_of("tables"),
                stream, flow.height(number) if batch is None else batch,
            )
        )  # fmt: skip
    inputs = [tensors[i] for i in graph.inputs]
    outputs = [tensors[i] for i in graph.outputs]
    return Plan(
        format=1,
        name=graph.name,
        tflite_sha256=graph.sha256,
        schedule=schedule.kind,
        input_mode="rows" if schedule.pushed else "image",
        arena_bytes=schedule.arena_bytes,
        arena_lower_bound=schedule.lower_bound,
        arena_peak_layer=max(timeline.steps[schedule.peak_step].layer, 0),
        weights_bytes=sum(layer.weight_bytes for layer in layers),
        tables_bytes=sum(layer.table_bytes for layer in layers),
        input=inputs[0],
        output=outputs[0],
        inputs=inputs,
        outputs=outputs,
        layers=layers,
        tensors=list(tensors.values()),
        streams=[PlannedStream(s.first, s.last, s.pushed, others[-1 - s.first]) for s in streams],
    )
