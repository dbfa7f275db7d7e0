# SPDX-License-Identifier: Apache-2.0
"""What the sections of the page show, as plain rows; the templates only place it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from deploy.core.errors import DeployError
from deploy.evidence.measurement import Measurement
from deploy.evidence.report import numbers
from deploy.evidence.report.charts import StackedBar, stacked_bars
from deploy.evidence.report.collect import ModelRun, RunData
from deploy.evidence.report.figures import accuracy_rows
from deploy.evidence.report.images import data_uri
from deploy.evidence.report.schema import PlanFile

FLASH_PARTS = (("code", "part-a"), ("tables", "part-b"), ("weights", "part-c"), ("other", "part-d"))
HASHED = {
    "checkpoint": "contracted.pt",
    "data": "data set",
    "elf": "firmware",
    "generated": "generated C",
    "recipe": "recipe.toml",
    "tflite": "model.tflite",
}
RAM_PARTS = (("arena", "part-a"), ("other", "part-b"), ("stack", "part-c"))


@dataclass(frozen=True)
class Headline:
    """One large number at the top of the page."""

    name: str
    value: str
    note: str


@dataclass(frozen=True)
class MemorySection:
    """Flash and RAM of the measured models, in bytes."""

    flash: list[StackedBar]
    ram: list[StackedBar]
    flash_rows: list[tuple[str, list[int | None]]]
    ram_rows: list[tuple[str, list[int | None]]]
    names: list[str]
    peaks: list[str]


@dataclass(frozen=True)
class Answer:
    """One test image and what the board said."""

    image: str
    label: str
    answers: list[tuple[str, str, bool]]  # model, answer, right

    @property
    def right(self) -> bool:
        """Whether the last model (the contender, if it was run) is right."""
        return self.answers[-1][2]


@dataclass(frozen=True)
class Answers:
    """The images shown and the score over all images that the board answered."""

    shown: list[Answer] = field(default_factory=list)
    scores: list[tuple[str, int, int]] = field(default_factory=list)


def headline_figures(run: RunData) -> list[Headline]:
    """The numbers that most readers come for, of the model that is put forward."""
    found = []
    rows = [row for row in accuracy_rows(run) if row.test is not None]
    names = [f"{model.name}, int8" for model in run.foremost]
    int8 = next((row for name in names for row in rows if row.name == name), None)
    if int8:
        note = f"{numbers.count(int8.images)} test images"
        if int8.from_reference is not None:
            note = (
                f"{numbers.points(int8.from_reference)} points against {run.reference.name}, {note}"
            )
        found.append(Headline(f"Accuracy, {int8.name}", numbers.accuracy(int8.test), note))
    model = run.measured
    if model is None or model.measurement is None:
        return found
    measured = model.measurement
    if measured.instructions is not None:
        value = numbers.millions(measured.instructions)
        found.append(Headline("Instructions", value, f"per inference, {model.name}"))
    if measured.cycles_measured is not None:
        milliseconds = measured.cycles_measured / measured.clock_hz * 1e3
        note = f"{numbers.millions(measured.cycles_measured)} cycles measured on the board"
        found.append(Headline("Latency, measured", numbers.milliseconds(milliseconds), note))
    elif measured.latency_estimated_ms is not None:
        note = f"estimated, not measured; at {numbers.clock(measured.clock_hz)}"
        value = numbers.milliseconds(measured.latency_estimated_ms)
        found.append(Headline("Latency, estimated", value, note))
    memory = measured.memory
    for name, size, limit in (
        ("RAM with stack", measured.ram.total, memory.ram if memory else None),
        ("Flash", measured.flash.total, memory.flash if memory else None),
    ):
        note = f"{numbers.count(size)} bytes"
        if limit:
            note += f", {100 * size / limit:.0f}% of the target's"
        found.append(Headline(name, numbers.kilobytes(size), note))
    return found


def quantization_notes(run: RunData) -> list[str]:
    """How each int8 model was made; one sentence if both were made alike."""
    found: dict[str, list[str]] = {}
    for model in run.models:
        if model.card and model.card.quantization:
            made = model.card.quantization
            text = (
                f"quantization {made.method}, calibrated on "
                f"{numbers.count(made.calibration_samples)} training images."
            )
            found.setdefault(text, []).append(model.name)
    return [f"{' and '.join(names).capitalize()}: {text}" for text, names in found.items()]


def speed_rows(run: RunData) -> list[tuple[str, str, list[str]]]:
    """(quantity, how it is known, one text a measured model); the three kinds of time apart."""
    measured = [model.measurement for model in run.models if model.measurement]
    if not measured:
        return []

    def texts(key: str) -> list[str]:
        return [numbers.count(getattr(item, key)) for item in measured]

    rows = [("Instructions", "counted while emulating the first test image", texts("instructions"))]
    ranges = [item.instructions_range for item in measured]
    if any(ranges):
        spans = [_range(item) for item in ranges]
        rows.append(("Instructions over all images run", "smallest to largest count", spans))
    rows += [
        (
            "Cycles, estimated",
            "a model of the core applied to the executed instructions",
            texts("cycles_estimated"),
        ),
        (
            "Latency, estimated",
            "estimated cycles ÷ the target's clock of "
            + ", ".join(dict.fromkeys(numbers.clock(item.clock_hz) for item in measured)),
            [numbers.milliseconds(item.latency_estimated_ms) for item in measured],
        ),
        (
            "Cycles, measured",
            "by the cycle counter of a real board; no emulator can know them",
            [
                "not measured" if item.cycles_measured is None else f"{item.cycles_measured:,}"
                for item in measured
            ],
        ),
        (
            "MACs per instruction",
            "MACs of all layers ÷ instructions",
            [_density(item) for item in measured],
        ),
    ]
    return rows


def _range(span: tuple[int, int] | None) -> str:
    if span is None:
        return "–"
    if span[0] == span[1]:
        return "the same for every image"
    return f"{numbers.count(span[0])} to {numbers.count(span[1])}"


def _density(measured: Measurement) -> str:
    macs = sum(layer.macs for layer in measured.layers)
    return numbers.ratio(macs, measured.instructions or 0)


def memory_section(run: RunData) -> MemorySection | None:
    """Flash by code, tables and weights; RAM by arena, other static data and stack."""
    models = [model for model in run.models if model.measurement]
    if not models:
        return None
    measured = [model.measurement for model in models if model.measurement]
    pairs = list(zip(models, measured, strict=True))

    def bars(kind: str, parts: Sequence[tuple[str, str]]) -> list[StackedBar]:
        return stacked_bars(
            [
                (
                    model.name,
                    [(name, style, getattr(getattr(item, kind), name)) for name, style in parts],
                )
                for model, item in pairs
            ]
        )

    def rows(kind: str, names: dict[str, str]) -> list[tuple[str, list[int | None]]]:
        return [
            (text, [getattr(getattr(item, kind), key) for item in measured])
            for key, text in names.items()
        ]

    flash_rows = rows(
        "flash",
        {
            "code": "Code",
            "tables": "Requantization tables",
            "weights": "Weights and biases",
            "other": "Other constants and initial data",
            "total": "Flash in all",
        },
    )
    ram_rows = rows(
        "ram",
        {
            "arena": "Arena (activations, input, output, scratch)",
            "other": "Other static data",
            "stack": "Stack, high-water mark",
            "total": "RAM in all",
        },
    )
    planned: list[int | None] = [model.plan.arena_bytes if model.plan else None for model in models]
    return MemorySection(
        bars("flash", FLASH_PARTS),
        bars("ram", RAM_PARTS),
        flash_rows,
        [("Arena as planned before the build", planned), *ram_rows],
        [model.name for model in models],
        list(dict.fromkeys(_peak(model.plan) for model in models if model.plan)),
    )


def _peak(plan: PlanFile) -> str:
    """Which layer needs the whole arena."""
    index = plan.arena_peak_layer
    if index is None or index >= len(plan.layers):
        return ""
    layer = plan.layers[index]
    return f"The arena is fullest at layer {index}, {layer.name} ({layer.op})."


def training_rows(run: RunData) -> list[tuple[str, str, str]]:
    """(model, optimizer steps, seconds) of each model that was trained."""
    rows = []
    for model in run.models:
        steps = model.summary.steps if model.summary else {}
        phases = {"giant": "giant", "plt": "PLT"}
        parts = [f"{name} {steps[key]:,}" for key, name in phases.items() if key in steps]
        total = numbers.count(steps.get("total"))
        text = f"{total} ({', '.join(parts)})" if parts else total
        seconds = [point.seconds for point in model.metrics if point.seconds is not None]
        if steps or seconds:
            rows.append((model.name, text, f"{max(seconds):,.0f} s" if seconds else "–"))
    return rows


def board_answers(
    run: RunData, sample_images: Sequence[tuple[bytes | np.ndarray, int | str]]
) -> Answers:
    """The sample images beside the answers in the measurements.

    Raises:
        DeployError: an image's label is not the one that the measurement has for its index.
    """
    models = [model for model in run.models if model.measurement]
    by_index = {
        model.name: {image.index: image for image in model.measurement.images}
        for model in models
        if model.measurement
    }
    shown = []
    for index, (image, label) in enumerate(sample_images):
        answers = []
        for model in models:
            measured = by_index[model.name].get(index)
            if measured is None:
                continue
            if _class_name(model, measured.label) != _class_name(model, label):
                raise DeployError(
                    f"{model.name}/measurement-{run.target}.json: test image {index} has label "
                    f"{measured.label}, the data set says {label}; measure again"
                )
            right = measured.prediction == measured.label
            answers.append((model.name, _class_name(model, measured.prediction), right))
        if answers:
            shown.append(Answer(data_uri(image), _class_name(models[-1], label), answers))
    scores = [
        (name, sum(item.label == item.prediction for item in images.values()), len(images))
        for name, images in by_index.items()
    ]
    return Answers(shown, scores)


def hash_rows(run: RunData) -> list[tuple[str, list[str]]]:
    """(artifact, its hash of each model) as the stages recorded them."""
    tables: list[dict[str, str]] = []
    for model in run.models:
        found: dict[str, str] = {}
        for hashes in (
            model.card.hashes if model.card else {},
            model.measurement.hashes if model.measurement else {},
        ):
            found |= {name: value for name, value in hashes.items() if value}
        tables.append(found)
    names = sorted(set().union(*tables))
    return [(HASHED.get(name, name), [table.get(name, "–") for table in tables]) for name in names]


def _class_name(model: ModelRun, value: int | str | None) -> str:
    labels = model.card.labels if model.card else []
    if isinstance(value, int) and 0 <= value < len(labels):
        return labels[value]
    return str(value)
