# SPDX-License-Identifier: Apache-2.0
"""Measures a firmware on a device: every byte compared, accuracy, instructions or time, memory."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from deploy.core.errors import DeployError
from deploy.core.stamps import hash_file
from deploy.devices import (
    EMULATORS,
    INFERENCE_SECONDS,
    MAX_INSTRUCTIONS,
    Progress,
    Sending,
    ask,
    choose_device,
    open_device,
)
from deploy.evidence.measurement import Exact, Measurement, Subject, describe

BOARD_RUNS = 10  # timed inferences on a board, at least; an emulator's counts are exact

Say = Callable[[str], None]


class DisagreementError(DeployError):
    """Two builds of a model that have to give the same bytes do not: a bug of ours."""


@dataclass(frozen=True)
class Options:
    """How to measure.

    Attributes:
        on: ``qemu``, ``renode`` or a serial port; None: the emulator that knows the target.
        runs: inferences that are wanted at least; None: 10 on a port, one an image in an
            emulator.
        timeout: seconds for one inference.
        max_instructions: in an emulator an inference that executes more is ended.
    """

    on: str | None = None
    runs: int | None = None
    timeout: float = INFERENCE_SECONDS
    max_instructions: int = MAX_INSTRUCTIONS


def measure_firmware(
    subject: Subject,
    images: np.ndarray,
    labels: np.ndarray | None = None,
    options: Options | None = None,
    *,
    output: Path | None = None,
    say: Say = lambda line: None,
) -> Measurement:
    """Send images to a firmware on a device, and compare every output byte.

    With our engine the host build's bytes and the TFLM interpreter's are expected, as far as they
    are there; another engine's differences are told.

    Args:
        images: int8 [N, ...], as they lie in the input tensor.
        labels: int [N], for the accuracy; None: nobody knows them.
        output: ``measurement-TARGET.json``, written before anything is refused. Answers are kept
            beside it while they come in: the same call goes on where an earlier one was cut.
        say: told what a person should know, line by line.

    Raises:
        DisagreementError: an output byte of our engine is another one.
        DeployError: no such device, or it fails; see :func:`deploy.devices.ask`.
    """
    options = options or Options()
    target = subject.target
    if images.dtype != np.int8 or len(images) == 0:
        raise DeployError(f"images are {images.dtype} [{len(images)}]; at least one, int8, is due")
    on = choose_device(target, options.on)
    emulated = on in EMULATORS
    key = {
        "elf": hash_file(subject.build.elf),
        "images": hashlib.sha256(images.tobytes()).hexdigest(),
        "on": on if emulated else "board",
    }
    answers = ask(
        lambda: open_device(
            subject.machine or target,
            subject.machine_elf or subject.build.elf,
            on=on,
            max_instructions=options.max_instructions,
            timeout=options.timeout,
        ),
        [image.tobytes() for image in images],
        Sending(
            sha256=hash_file(subject.tflite),
            runs=options.runs or (1 if emulated else BOARD_RUNS),
            progress=Progress(output and output.with_suffix(".partial.jsonl"), key),
            say=say,
        ),
    )
    tflm, reason = _differs_from_tflm(subject, images, answers.outputs)
    exact, disagreement = _compare(
        subject, answers.outputs.size, _differs_from_host(subject, images, answers.outputs), tflm,
        reason,
    )  # fmt: skip
    measurement = describe(subject, answers, labels, exact)
    if output is not None:
        measurement.save(output)
    if disagreement is not None:
        kept = f"; all answers are in {output}" if output else ""
        raise DisagreementError(f"{disagreement}{kept}")
    for line in summarize(measurement):
        say(line)
    return measurement


def _differs_from_host(
    subject: Subject, images: np.ndarray, outputs: np.ndarray
) -> list[int] | None:
    """For each image how many bytes are not the host build's; None: there is none."""
    from deploy.build.host_model import HostModel

    if subject.host_library is None:
        return None
    answers = HostModel(subject.host_library).invoke_all([images])
    rows = [array.reshape(len(images), -1).view(np.int8) for array in answers]
    host = np.concatenate(rows, axis=1)
    if host.shape != outputs.shape:
        raise DeployError(
            f"{subject.host_library} answers {host.shape[1]} bytes, the device "
            f"{outputs.shape[1]}: they are not of the same model; build both again"
        )
    return [int(count) for count in (host != outputs).sum(axis=1)]


def _differs_from_tflm(
    subject: Subject, images: np.ndarray, outputs: np.ndarray
) -> tuple[list[int] | None, str | None]:
    """The same for the TFLM interpreter; None with the reason where it cannot be asked."""
    from deploy.evidence.bench.exact import differing_bytes
    from deploy.tflite import read_graph
    from deploy.tflite.tflm import tflm_available

    if (reason := tflm_available()) is not None:
        return None, reason
    data = subject.tflite.read_bytes()
    graph = read_graph(data, subject.model)
    shape = graph.tensors[graph.inputs[0]].shape
    items = [[image.reshape(shape)] for image in images]
    return differing_bytes(data, graph, items, [row.tobytes() for row in outputs]), None


def _compare(
    subject: Subject,
    size: int,
    host: list[int] | None,
    tflm: list[int] | None,
    reason: str | None,
) -> tuple[Exact, str | None]:
    """What is written down, and what is wrong with the bytes of our engine."""
    disagreement = None
    for counts, name in ((host, "the host build"), (tflm, "the TFLM interpreter")):
        if not counts or not any(counts) or disagreement is not None:
            continue
        first = next(index for index, count in enumerate(counts) if count)
        reason = f"{sum(counts)} of {size} bytes are not {name}'s, first at image {first}"
        disagreement = (
            f"{subject.model}: {subject.target.name} and {name} disagree in {sum(counts)} of "
            f"{size} output bytes, first at test image {first}: this is a bug in a kernel; please "
            "report it with the .tflite file"
        )
    exact = Exact(
        host=None if host is None else not any(host),
        tflm=None if tflm is None else not any(tflm),
        reason=reason,
    )
    return exact, disagreement if subject.engine == "nb" else None


def summarize(measured: Measurement) -> list[str]:
    """A measurement for people, line by line."""
    name = measured.model + ("" if measured.engine == "nb" else f", engine {measured.engine}")
    device = measured.toolchain.emulator or "the device"
    if measured.stand_in:
        device += f", {measured.stand_in} in its place"
    where = f"{measured.target} ({device})"
    count = len(measured.images)
    compared = {"the host build": measured.exact.host, "the TFLM interpreter": measured.exact.tflm}
    equal = " and ".join(other for other, same in compared.items() if same)
    result = f"{count} images" if measured.accuracy_on_device is None else (
        f"accuracy {measured.accuracy_on_device:.2%} of {count} test images"
    )  # fmt: skip
    lines = [f"{name} on {where}: {result}"]
    if False in compared.values():
        lines[0] += f"; {measured.exact.reason}"
    elif equal:
        lines[0] += f"; every output byte equal to {equal}"
    if measured.exact.tflm is None:
        lines.append(f"{name}: not compared with TFLM: {measured.exact.reason}")
    if spread := measured.cycles_measured_spread:
        low, middle, high = (
            own / measured.clock_hz * 1e3 for own in (spread.min, spread.median, spread.max)
        )
        lines.append(
            f"{name}: latency median {middle:.3f} ms (min {low:.3f}, max {high:.3f}, "
            f"{spread.runs} runs); {measured.cycles_measured:,} cycles measured"
        )
    elif spread := measured.latency_measured_us:
        lines.append(
            f"{name}: latency median {spread.median:g} us (min {spread.min:g}, max "
            f"{spread.max:g}, {spread.runs} runs), by this machine's clock"
        )
    if measured.instructions is not None:
        cycles = measured.cycles_estimated
        lines.append(
            f"{name}: {measured.instructions:,} instructions an inference ({measured.counting})"
            + ("" if cycles is None else f"; {cycles:,} cycles estimated")
        )
    if measured.energy_estimated_uj is not None:
        lines.append(
            f"{name}: energy estimated {measured.energy_estimated_uj:,.0f} uJ an inference "
            f"({measured.energy_source})"
        )
    return [*lines, f"{name}: {_memory(measured)}"]


def _memory(measured: Measurement) -> str:
    ram, flash, there = measured.ram, measured.flash, measured.memory
    has_ram, has_flash = (f" of {size:,}" if size else "" for size in (
        (there.ram, there.flash) if there else (0, 0)
    ))  # fmt: skip
    return (
        f"RAM {ram.total:,}{has_ram} bytes (arena {ram.arena:,}, stack {ram.stack:,}), "
        f"flash {flash.total:,}{has_flash} bytes"
    )
