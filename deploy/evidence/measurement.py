# SPDX-License-Identifier: Apache-2.0
"""The one form of a measurement: what a firmware did on a device, as ``measurement-TARGET.json``.

The stage that measures writes it; the report and whoever else wants numbers read it. Keys that it
does not know are ignored, and all that a device cannot tell is None.
"""

from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Literal, Self

import numpy as np
from pydantic import BaseModel, Field, FiniteFloat, NonNegativeInt, ValidationError

from deploy.build.firmware import BuildResult
from deploy.codegen import Plan
from deploy.core.errors import DeployError
from deploy.core.stamps import hash_file, hash_files
from deploy.devices import Answers
from deploy.evidence.energy import estimate_energy
from deploy.targets import Target
from netbooster.common.files import write_atomic


class MeasuredLayer(BaseModel):
    """One layer as the emulator counted it."""

    name: str
    op: str
    kernel: str
    macs: NonNegativeInt
    instructions: NonNegativeInt
    cycles_estimated: NonNegativeInt | None = None


class Toolchain(BaseModel):
    """What built and ran the firmware; ``emulator`` is None for a board."""

    compiler: str
    flags: str
    emulator: str | None = None


class Ram(BaseModel):
    """Bytes of RAM; ``stack`` is the painted stack's high-water mark."""

    arena: NonNegativeInt
    static: NonNegativeInt | None = None
    stack: NonNegativeInt
    total: NonNegativeInt

    @property
    def other(self) -> int:
        """Static data beside the arena: state of the harness, UART buffers, C library."""
        return self.total - self.arena - self.stack


class Flash(BaseModel):
    """Bytes of flash."""

    code: NonNegativeInt
    tables: NonNegativeInt
    weights: NonNegativeInt
    total: NonNegativeInt

    @property
    def other(self) -> int:
        """What is neither code, requantization tables nor weights: constants, initial data."""
        return self.total - self.code - self.tables - self.weights


class TargetMemory(BaseModel):
    """What the target has, in bytes."""

    flash: NonNegativeInt
    ram: NonNegativeInt


class MeasuredImage(BaseModel):
    """One image and the class that the device answered; classes by index or by name.

    ``label`` is None where nobody knows it; ``output`` are the output's bytes, int8.
    """

    index: int
    label: int | str | None
    prediction: int | str
    output: list[int] = []


class Exact(BaseModel):
    """Byte comparison of all outputs; None = not compared, ``reason`` says why."""

    host: bool | None
    tflm: bool | None
    reason: str | None = None


class Spread(BaseModel):
    """Of several runs."""

    median: FiniteFloat
    min: FiniteFloat
    max: FiniteFloat
    runs: int = Field(gt=0)

    @classmethod
    def of(cls, values: list[int | None]) -> Self | None:
        """Median, smallest and largest of what is known; None where nothing is."""
        known = [value for value in values if value is not None]
        if not known:
            return None
        return cls(median=median(known), min=min(known), max=max(known), runs=len(known))


class Measurement(BaseModel):
    """One firmware, run on one target.

    Attributes:
        engine: ``nb``, or ``tflm`` for the interpreter.
        stand_in: the emulated machine of the same core that ran it in the target's place; memory
            and clock are the target's. None: the target itself did.
        counting: where the counts or the times come from.
        instructions, cycles_estimated, layers: of the first image; in an emulator alone.
        cycles_measured: the median; on a board alone.
        latency_measured_us: by the device's own clock; never an emulator's.
        accuracy_on_device: None where the images have no labels.
        hashes: SHA-256 of tflite, elf, generated sources and, for tflm, its library.
    """

    format: Literal[1] = 1
    model: str = ""
    target: str
    engine: str = "nb"
    stand_in: str | None = None
    toolchain: Toolchain
    counting: str
    instructions: NonNegativeInt | None = None
    instructions_range: tuple[NonNegativeInt, NonNegativeInt] | None = None
    cycles_estimated: NonNegativeInt | None = None
    cycles_measured: NonNegativeInt | None = None
    cycles_measured_spread: Spread | None = None
    clock_hz: int = Field(gt=0)
    latency_estimated_ms: FiniteFloat | None = None
    latency_measured_us: Spread | None = None
    energy_estimated_uj: FiniteFloat | None = None
    energy_source: str | None = None
    layers: list[MeasuredLayer]
    ram: Ram
    flash: Flash
    memory: TargetMemory | None = None
    tflite_bytes: NonNegativeInt
    accuracy_on_device: FiniteFloat | None = Field(None, ge=0, le=1)
    images: list[MeasuredImage]
    exact: Exact
    reconnects: NonNegativeInt = 0
    hashes: dict[str, str | None] = {}

    def save(self, path: Path) -> None:
        """Write the file.

        Raises:
            DeployError: it cannot be written.
        """
        write_atomic(path, self.model_dump_json(indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a file that :meth:`save`, or an earlier version of the product, wrote.

        Raises:
            DeployError: it cannot be read, or is something else; one line, with the remedy.
        """
        try:
            return cls.model_validate_json(path.read_bytes())
        except OSError as error:
            raise DeployError(f"cannot read {path}: {error.strerror or error}") from error
        except ValidationError as error:
            raise DeployError(
                f"{path}: {first_problem(error)}; `netbooster measure` writes it again"
            ) from None


def first_problem(error: ValidationError) -> str:
    """Where a file is wrong and why, in one line."""
    problem = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in problem["loc"])
    message = " ".join(str(problem["msg"]).split())
    return f"{where}: {message}" if where else message


@dataclass(frozen=True)
class Subject:
    """What is measured: a built firmware, and what it was made from.

    Attributes:
        model: its name.
        build: the firmware, its sizes and its compiler.
        tflite: the flatbuffer that it was made from.
        sources: the folder that it was built from: generated C, or what wraps the interpreter.
        plan: names the layers that an emulator counts; None: another engine than ours.
        host_library: the same model built for this machine; None: not compared with one.
        engine: ``nb`` or ``tflm``.
        library_sha256: of the interpreter's library.
        machine, machine_elf: what runs in the target's place, see :func:`deploy.devices.stand_in`,
            and the same sources built for it.
    """

    model: str
    target: Target
    build: BuildResult
    tflite: Path
    sources: Path
    plan: Plan | None = None
    host_library: Path | None = None
    engine: str = "nb"
    library_sha256: str | None = None
    machine: Target | None = None
    machine_elf: Path | None = None


def describe(
    subject: Subject, answers: Answers, labels: np.ndarray | None, exact: Exact
) -> Measurement:
    """The measurement that a device's answers make.

    Args:
        labels: int [N], the images' classes; None: nobody knows them.
    """
    target, sizes, first = subject.target, subject.build.sizes, answers.laps[0]
    cycles = Spread.of([lap.cycles for lap in answers.laps])
    estimated = None if first.cycles_estimated is None else first.cycles_estimated / target.clock_hz
    energy = estimate_energy(target, cycles.median / target.clock_hz if cycles else estimated)
    counts = [lap.instructions for lap in answers.laps if lap.instructions is not None]
    predictions = answers.outputs.argmax(axis=1)
    stack = answers.memory.stack_used
    return Measurement(
        model=subject.model,
        target=target.name,
        engine=subject.engine,
        stand_in=subject.machine.name if subject.machine else None,
        toolchain=Toolchain(
            compiler=subject.build.compiler,
            flags=subject.build.flags,
            emulator=answers.emulator,
        ),
        counting=answers.counting,
        instructions=first.instructions,
        instructions_range=(min(counts), max(counts)) if counts else None,
        cycles_estimated=first.cycles_estimated,
        cycles_measured=round(cycles.median) if cycles else None,
        cycles_measured_spread=cycles,
        clock_hz=target.clock_hz,
        latency_estimated_ms=None if estimated is None else estimated * 1e3,
        latency_measured_us=Spread.of([lap.microseconds for lap in answers.laps]),
        energy_estimated_uj=energy.microjoules if energy else None,
        energy_source=energy.source if energy else None,
        layers=_layers(subject.plan, answers),
        ram=Ram(
            arena=sizes.arena,
            static=sizes.ram_static,
            stack=stack,
            total=sizes.ram_static + stack,
        ),
        flash=Flash(
            code=sizes.code,
            tables=sizes.tables,
            weights=sizes.weights,
            total=sizes.flash_total,
        ),
        memory=TargetMemory(flash=target.flash.length if target.flash else 0, ram=target.ram_bytes),
        tflite_bytes=subject.tflite.stat().st_size,
        accuracy_on_device=None if labels is None else float((predictions == labels).mean()),
        images=[
            MeasuredImage(
                index=index,
                label=None if labels is None else int(labels[index]),
                prediction=int(predictions[index]),
                output=output.tolist(),
            )
            for index, output in enumerate(answers.outputs)
        ],
        exact=exact,
        reconnects=answers.reconnects,
        hashes={
            "tflite": hash_file(subject.tflite),
            "elf": hash_file(subject.build.elf),
            "generated": hash_files([subject.sources]),
            "library": subject.library_sha256,
        },
    )


def _layers(plan: Plan | None, answers: Answers) -> list[MeasuredLayer]:
    counted = {count.symbol: count for count in answers.layers}
    return [
        MeasuredLayer(
            name=layer.name,
            op=layer.op,
            kernel=layer.kernel,
            macs=layer.macs,
            instructions=counted[layer.symbol].instructions,
            cycles_estimated=counted[layer.symbol].cycles_estimated,
        )
        for layer in (plan.layers if plan else ())
        if layer.symbol in counted
    ]
