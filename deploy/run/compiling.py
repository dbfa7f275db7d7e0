# SPDX-License-Identifier: Apache-2.0
"""From an int8 flatbuffer to C, in a run or of a single file."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deploy.core.errors import DeployError
from deploy.core.stamps import Stamp
from deploy.run.folder import DEFAULT_TARGET, RunPaths, chosen_in, need, runs_in
from deploy.run.planning import Planning
from deploy.run.results import Compiled, Quantized
from deploy.run.selection import copy_selected
from deploy.run.telling import Say, teller
from netbooster.common.files import read_bytes

if TYPE_CHECKING:
    from rich.console import Console

KB = 1000


def compile(
    source: Quantized | str | Path,
    *,
    target: str = DEFAULT_TARGET,
    output: str | Path | None = None,
    schedule: str = "auto",
    input: str = "image",
    ram: int | None = None,
    keep_dead: bool | None = None,
    widen_weights: bool = False,
    force: bool = False,
    console: "Console | None" = None,
) -> Compiled:
    """Generate C: weights, memory plan, a table of layers. The same input gives the same bytes.

    Args:
        source: what :func:`quantize` returned, a run or comparison (all its runs), or any int8
            .tflite file.
        target: board or emulated machine whose RAM the plan has to fit.
        output: the folder of C, where no run is compiled; default: beside the file.
        schedule, input, ram, keep_dead, widen_weights: see
            :class:`~deploy.run.planning.Planning`.
        force: also where it is up to date.
        console: where progress is shown; None is silent.

    Returns:
        What was made; of a comparison, that of the selected run.

    Raises:
        DeployError: the model cannot be read or compiled, or fits no schedule.
    """
    from deploy.targets import load_target

    planning = Planning.of(schedule, input, ram, keep_dead, widen_weights)
    board = load_target(target)
    say = teller(console)
    if isinstance(source, Quantized) and source.run is not None:
        paths = RunPaths(source.run)
        _compile_run(paths, planning.arguments(board, in_run=True), force, say)
        return read_compiled(paths.generated, paths.tflite, target, source.run)
    file = source.tflite if isinstance(source, Quantized) else Path(source)
    if file.is_dir():
        if output is not None:
            raise DeployError("--output is for a single .tflite; a run has its own places")
        runs = runs_in(file)
        arguments = planning.arguments(board, in_run=True)
        for run in runs:
            need(run.tflite, f"quantize {file}")
            _compile_run(run, arguments, force, say)
        copy_selected(file)
        chosen = chosen_in(file)
        return read_compiled(chosen.generated, chosen.tflite, target, chosen.folder)
    folder = file.with_name(f"{file.stem}-generated") if output is None else Path(output)
    compile_file(file, folder, file.stem, planning.arguments(board, in_run=False), say)
    return read_compiled(folder, file, target, None)


def _compile_run(paths: RunPaths, arguments: dict[str, Any], force: bool, say: Say) -> None:
    stamp = Stamp(
        paths.folder,
        "compile",
        inputs=[paths.tflite],
        settings=arguments,
        outputs=[paths.generated],
    )
    if not force and stamp.is_current():
        say("compile", f"{paths.name}: up to date")
        return
    stamp.clear()
    compile_file(paths.tflite, paths.generated, paths.name, arguments, say)
    stamp.write()


def compile_file(
    tflite: Path, output: Path, name: str, arguments: dict[str, Any], say: Say
) -> None:
    """Generate C from one flatbuffer and say what it needs."""
    from deploy.codegen import plan_model, write_model

    compilation = plan_model(read_bytes(tflite), name=name, **arguments)
    write_model(compilation, output)
    plan = compilation.plan
    say(
        "compile",
        f"{name}: {output} ({len(plan.layers)} layers, schedule {plan.schedule}, arena "
        f"{plan.arena_bytes / KB:.1f} KB, weights {plan.weights_bytes / KB:.1f} KB)",
    )
    if compilation.removed_channels:
        say(
            "compile",
            f"{name}: {compilation.removed_channels:,} channels whose value is known or that "
            f"nothing reads are removed, and {compilation.removed_macs:,} MACs (--keep-dead)",
        )


def read_compiled(generated: Path, tflite: Path, target: str, run: Path | None) -> Compiled:
    """A folder of generated C, as its plan.json describes it.

    Raises:
        DeployError: there is none, or it is damaged.
    """
    path = generated / "plan.json"
    try:
        plan = json.loads(read_bytes(path))
        return Compiled(
            generated=generated,
            name=str(plan["name"]),
            tflite=tflite,
            tflite_sha256=str(plan["tflite_sha256"]),
            target=target,
            schedule=str(plan["schedule"]),
            input=str(plan["input_mode"]),
            layers=len(plan["layers"]),
            arena_bytes=int(plan["arena_bytes"]),
            weights_bytes=int(plan["weights_bytes"]),
            tables_bytes=int(plan["tables_bytes"]),
            run=run,
        )
    except (ValueError, KeyError, TypeError) as error:
        raise DeployError(f"{path} is damaged; run `netbooster compile` again") from error
