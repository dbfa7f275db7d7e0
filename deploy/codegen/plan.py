"""The plan of a compiled model: what plan.json holds."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from deploy.errors import DeployError
from deploy.graph.ir import Graph, Tensor
from deploy.graph.layer import Layer
from deploy.schedule import MemoryPlan


@dataclass(frozen=True)
class Extent:
    """A piece of the arena, in bytes."""

    offset: int
    bytes: int


@dataclass(frozen=True)
class PlannedTensor:
    """An activation tensor; ``first`` and ``last`` are the layers between which it is alive."""

    index: int
    name: str
    type: str
    shape: list[int]
    bytes: int
    offset: int
    first: int
    last: int
    scale: float
    zero_point: int


@dataclass(frozen=True)
class PlannedLayer:
    """One kernel call; ``operator`` is its number in the .tflite file."""

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


@dataclass(frozen=True)
class Plan:
    """Everything that the later stages need to know about a compiled model."""

    format: int
    name: str
    tflite_sha256: str
    schedule: str
    arena_bytes: int
    arena_peak_layer: int
    weights_bytes: int
    tables_bytes: int
    input: PlannedTensor
    output: PlannedTensor
    inputs: list[PlannedTensor]
    outputs: list[PlannedTensor]
    layers: list[PlannedLayer]
    tensors: list[PlannedTensor]

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
            return cls(**{
                **raw, **lists, "layers": layers,
                "input": PlannedTensor(**raw["input"]), "output": PlannedTensor(**raw["output"]),
            })  # fmt: skip
        except (KeyError, TypeError) as error:
            raise DeployError(
                f"{path}: not a plan of this version ({error}); run `netbooster compile` again"
            ) from error


def make_plan(graph: Graph, layers: list[Layer], memory: MemoryPlan, schedule: str) -> Plan:
    """The plan of ``layers`` (aliases left out) placed by ``memory``."""

    def planned(tensor: Tensor) -> PlannedTensor:
        quantization = tensor.quantization
        first, last = memory.lifetimes[tensor.index]
        return PlannedTensor(
            tensor.index, tensor.name, tensor.dtype.numpy, list(tensor.shape), tensor.bytes,
            memory.offsets[tensor.index], first, last,
            quantization.scales[0] if quantization else 0.0,
            quantization.zero_points[0] if quantization else 0,
        )  # fmt: skip

    def extents(indices: tuple[int, ...]) -> list[Extent]:
        return [Extent(memory.offsets[i], graph.tensors[i].bytes) for i in indices]

    planned_layers = [
        PlannedLayer(
            number, layer.operator, layer.name, layer.kind, layer.kernel, f"nb_layer_{number:03d}",
            layer.macs, list(graph.tensors[layer.outputs[0]].shape),
            extents(layer.inputs), extents(layer.outputs),
            memory.scratch_offsets.get(number, 0), layer.scratch_bytes,
            layer.bytes_of("weights"), layer.bytes_of("tables"),
        )
        for number, layer in enumerate(layers)
    ]  # fmt: skip
    tensors = [planned(graph.tensors[i]) for i in sorted(memory.offsets)]
    inputs = [planned(graph.tensors[i]) for i in graph.inputs]
    outputs = [planned(graph.tensors[i]) for i in graph.outputs]
    return Plan(
        format=1,
        name=graph.name,
        tflite_sha256=graph.sha256,
        schedule=schedule,
        arena_bytes=memory.arena_bytes,
        arena_peak_layer=memory.peak_layer,
        weights_bytes=sum(layer.weight_bytes for layer in planned_layers),
        tables_bytes=sum(layer.table_bytes for layer in planned_layers),
        input=inputs[0],
        output=outputs[0],
        inputs=inputs,
        outputs=outputs,
        layers=planned_layers,
        tensors=tensors,
    )
