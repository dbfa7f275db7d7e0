# SPDX-License-Identifier: Apache-2.0
"""What a firmware does on a device: of a run, a single file, or a firmware that was built."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from deploy.core.errors import DeployError
from deploy.core.stamps import Stamp
from deploy.devices import EMULATORS, INFERENCE_SECONDS, MAX_INSTRUCTIONS, choose_device, stand_in
from deploy.evidence.measurement import Measurement, Subject
from deploy.evidence.measuring import Options, measure_firmware
from deploy.run.building import build, build_tflm_run, check_engine, read_firmware
from deploy.run.folder import DEFAULT_TARGET, Run, chosen_in, runs_in
from deploy.run.results import Firmware
from deploy.run.selection import copy_selected
from deploy.run.telling import Say, teller
from netbooster.common.files import read_bytes

if TYPE_CHECKING:
    from rich.console import Console

    from deploy.targets import Target

FILE_IMAGES = 2  # random images for what has no data set


def measure(
    source: Firmware | str | Path,
    images: np.ndarray | int | None = None,
    labels: np.ndarray | None = None,
    *,
    on: str | None = None,
    target: str | None = None,
    runs: int | None = None,
    timeout: float = INFERENCE_SECONDS,
    max_instructions: int = MAX_INSTRUCTIONS,
    engine: str = "nb",
    tflm_dir: str | Path | None = None,
    force: bool = False,
    console: "Console | None" = None,
) -> Measurement:
    """Send images to a firmware on a device: every byte compared, accuracy, time, memory.

    With our engine every output byte has to be the host build's and the TFLM interpreter's. A
    board's cycles are measured; an emulator's instructions are exact, its cycles and its latency
    estimates. Answers that have come are kept: the same call goes on where it was cut. Of a run,
    its own test images are measured and ``measurement-TARGET.json`` is written.

    Args:
        source: what :func:`build` returned, a run or comparison (in an emulator all its runs, on a
            board the one that is put forward), or any int8 .tflite file.
        images: int8 [N, ...], as they lie in the input tensor, or pixels of a run's network, uint8
            [N, H, W, C]; their counts are kept for the report where no test images were measured.
            Or how many: of a run, test images (default: the recipe's number in an emulator, all
            on a board); else random ones (default: 2).
        labels: int [N], the classes of ``images``, for the accuracy.
        on: qemu, renode, or the serial port of a board. Default: the emulator that knows the
            target. A board that QEMU does not know is measured on its machine with the same core
            (``Measurement.stand_in``), with the board's clock and wait states.
        target: default: the one that ``source`` was built for, else mps2-an386.
        runs: inferences at least. Default: 10 on a board, one an image in an emulator.
        timeout: seconds for one inference.
        max_instructions: in an emulator an inference that executes more is ended.
        engine: nb, or tflm for TensorFlow Lite Micro in the same harness.
        tflm_dir: TensorFlow Lite Micro: headers and the library you built.
        force: also where it is up to date; a board is always measured.
        console: where progress is shown; None is silent.

    Returns:
        What was measured; of a comparison, of the selected run.

    Raises:
        DisagreementError: an output byte of our engine is another one.
        DeployError: something is missing, there is no such device, or it fails.
    """
    from deploy.targets import load_target

    check_engine(engine, tflm_dir)
    say = teller(console)
    options = Options(on, runs, timeout, max_instructions)
    if isinstance(source, Firmware):
        board = load_target(target or source.target)
        if isinstance(images, np.ndarray) or source.run is None:
            return _measure_one(source, board, images, labels, options, say)
        engine, place = source.engine, source.run
    else:
        board, place = load_target(target or DEFAULT_TARGET), Path(source)
    if place.is_file():
        if not isinstance(images, np.ndarray):
            images = _random_images(place, images)  # refused before anything is built
        firmware = build(
            place, target=board.reference, engine=engine, tflm_dir=tflm_dir, console=console
        )
        return _measure_one(firmware, board, images, labels, options, say)
    if isinstance(images, np.ndarray):
        firmware = read_firmware(chosen_in(place), board, engine)
        return _measure_one(firmware, board, images, labels, options, say)
    emulated = choose_device(board, on) in EMULATORS
    # A board holds one firmware: the one that `netbooster flash` wrote.
    chosen = chosen_in(place)
    found = {}
    for run in runs_in(place) if emulated else [chosen]:
        if tflm_dir is not None:
            build_tflm_run(run, board, tflm_dir, False, say)
        found[run.folder] = _measure_run(run, board, engine, images, options, force, say)
    copy_selected(place)
    return found[chosen.folder]


def _measure_one(
    firmware: Firmware,
    target: "Target",
    images: np.ndarray | int | None,
    labels: np.ndarray | None,
    options: Options,
    say: Say,
) -> Measurement:
    if not isinstance(images, np.ndarray):
        images = _random_images(_tflite_of(firmware), images)
    elif firmware.run is not None and images.dtype == np.uint8:
        images = (images.astype(np.int16) - 128).astype(np.int8)  # as a run's networks take pixels
    measured = measure_firmware(
        _subject(firmware, target, options.on),
        images,
        labels,
        options,
        say=lambda line: say("measure", line),
    )
    if firmware.run is not None:
        _keep_counts(chosen_in(firmware.run).measurement(target.name, firmware.engine), measured)
    return measured


def _keep_counts(path: Path, measured: Measurement) -> None:
    """Write what does not depend on which images they were, unless test images are there."""
    try:
        if Measurement.load(path).hashes.get("elf") == measured.hashes["elf"]:
            return
    except DeployError:
        pass  # there is none, or a damaged one
    measured.model_copy(update={"images": [], "accuracy_on_device": None}).save(path)


def _measure_run(
    run: Run,
    target: "Target",
    engine: str,
    images: int | None,
    options: Options,
    force: bool,
    say: Say,
) -> Measurement:
    on = choose_device(target, options.on)
    if images is None and on in EMULATORS:
        images = run.recipe.emulate.images
    firmware = read_firmware(run, target, engine)
    output = run.measurement(target.name, engine)
    stamp = Stamp(
        run.folder,
        f"measure-{target.name}" + ("" if engine == "nb" else f"-{engine}"),
        inputs=[firmware.elf, run.host_library, run.tflite],
        settings={"images": images, "data": run.dataset.fingerprint(), "on": on},
        outputs=[output],
    )
    if on in EMULATORS and not force and stamp.is_current():
        say("measure", f"{run.name}: up to date")
        return Measurement.load(output)
    stamp.clear()
    inputs, labels = _test_images(run, images)
    measured = measure_firmware(
        _subject(firmware, target, on),
        inputs,
        labels,
        options,
        output=output,
        say=lambda line: say("measure", line),
    )
    stamp.write()
    return measured


def _test_images(run: Run, count: int | None) -> tuple[np.ndarray, np.ndarray]:
    from deploy.run.model_io import test_batches

    batches = list(test_batches(run.dataset, limit=count))
    inputs = np.concatenate([batch[1] for batch in batches])[:count]
    labels = np.concatenate([batch[2] for batch in batches])[:count]
    return inputs, labels


def _subject(firmware: Firmware, target: "Target", on: str | None) -> Subject:
    from deploy.build.firmware import BuildResult, build_firmware
    from deploy.codegen import Plan

    ours = firmware.engine == "nb"
    machine, machine_elf = stand_in(target, on) if ours else None, None
    if machine is not None:
        machine_elf = firmware.elf.with_name(f"{firmware.elf.stem}-on-{machine.name}.elf")
        build_firmware(firmware.generated, machine, machine_elf)
    return Subject(
        model=firmware.name,
        target=target,
        build=BuildResult(firmware.elf, firmware.sizes, firmware.compiler, firmware.flags),
        tflite=_tflite_of(firmware),
        sources=firmware.generated,
        plan=Plan.load(firmware.generated / "plan.json") if ours else None,
        host_library=firmware.host_library,
        engine=firmware.engine,
        library_sha256=firmware.library_sha256,
        machine=machine,
        machine_elf=machine_elf,
    )


def _tflite_of(firmware: Firmware) -> Path:
    if firmware.tflite is None:
        raise DeployError(
            f"{firmware.elf} was built from generated C alone: there is nothing to compare with; "
            "build it from the .tflite file"
        )
    return firmware.tflite


def _random_images(tflite: Path, count: int | None) -> np.ndarray:
    from deploy.tflite import parse_graph

    graph = parse_graph(read_bytes(tflite), tflite.stem)
    if len(graph.inputs) != 1:
        raise DeployError(
            f"{tflite.stem}: {len(graph.inputs)} inputs; measure takes models with one"
        )
    shape = graph.tensors[graph.inputs[0]].shape[1:]
    size = (count or FILE_IMAGES, *shape)
    return np.random.default_rng(0).integers(-128, 128, size, dtype=np.int8)
