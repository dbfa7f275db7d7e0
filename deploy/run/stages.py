# SPDX-License-Identifier: Apache-2.0
"""The whole job: images in, report out."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.core.errors import DeployError
from deploy.run.building import build
from deploy.run.comparing import discard_training, methods_of, train_all
from deploy.run.compiling import compile
from deploy.run.folder import DEFAULT_TARGET
from deploy.run.measuring import measure
from deploy.run.quantizing import quantize
from deploy.run.reporting import report
from deploy.run.results import Compiled, Firmware, Quantized, Report
from deploy.run.selection import Selection
from deploy.run.telling import teller

if TYPE_CHECKING:
    from rich.console import Console

    from deploy.evidence.measurement import Measurement
    from netbooster.experiment.recipe import Recipe


class Stage(StrEnum):
    """The stages, in order."""

    TRAIN = "train"
    QUANTIZE = "quantize"
    COMPILE = "compile"
    BUILD = "build"
    MEASURE = "measure"
    REPORT = "report"


@dataclass(frozen=True)
class Result:
    """A comparison, done.

    Attributes:
        folder: the comparison's folder; each run lies below it by the name of its method.
        selection: which run is put forward, why, and what all runs scored as floats.
        quantized, compiled, firmware: of the selected run.
        measured: what its firmware did; None for a board that no emulator knows.
        report: the page.
    """

    folder: Path
    selection: Selection
    quantized: Quantized
    compiled: Compiled
    firmware: Firmware
    measured: "Measurement | None"
    report: Report


def pipeline(
    recipe: "Recipe | str | Path",
    *,
    target: str = DEFAULT_TARGET,
    folder: str | Path | None = None,
    methods: Sequence[str] | None = None,
    start: str | None = None,
    device: str = "cpu",
    quantization: str | None = None,
    ranges: str | None = None,
    samples: int | None = None,
    max_drop: float | None = None,
    via: str | None = None,
    allow_moves: bool = False,
    schedule: str = "auto",
    input: str = "image",
    ram: int | None = None,
    keep_dead: bool | None = None,
    widen_weights: bool = False,
    images: int | None = None,
    on: str | None = None,
    console: "Console | None" = None,
) -> Result:
    """Train by each method, select, quantize, compile, build, measure in an emulator, report.

    Stages whose inputs have not changed since they were done are skipped; after a kill the same
    call goes on from where it stopped.

    Args:
        recipe: a recipe, the name of a committed one, or the path of a recipe file.
        target: board or emulated machine.
        folder: of the comparison. Default: ``runs/<recipe's name>``.
        methods: training methods that are compared. Default: the recipe's, else vanilla and
            netbooster.
        start: do this stage and all after it again, whatever was done; ``"train"`` throws the
            trained networks away.
        device: where networks train: ``"cpu"``, ``"cuda"`` or ``"cuda:N"``.
        quantization: the method; it and ranges, samples, max_drop, via, allow_moves: see
            :func:`deploy.run.quantize`.
        schedule, input, ram, keep_dead, widen_weights: see :func:`deploy.run.compile`.
        images: test images that the firmware answers. Default: the recipe's.
        on: the emulator, see :func:`deploy.run.measure`.
        console: where progress is shown; None is silent.

    Raises:
        NetBoosterError: the recipe, the data or the training.
        DeployError: a tool is missing, the model does not fit, or a stage after training fails.
    """
    from deploy.build.doctor import require_tools
    from deploy.targets import load_target
    from netbooster.experiment.recipe import Recipe, load_recipe

    say = teller(console)
    if not isinstance(recipe, Recipe):
        recipe = load_recipe(str(recipe))
    place = Path("runs") / recipe.name if folder is None else Path(folder)
    names = methods_of(recipe, methods)
    board = load_target(target)
    require_tools(board)  # told now rather than after minutes of training
    again = _again(start, place)
    if Stage.TRAIN in again:
        discard_training(place, names)
    selection = train_all(recipe, place, names, device=device, console=console)
    quantized = quantize(
        place,
        method=quantization,
        ranges=ranges,
        samples=samples,
        max_drop=max_drop,
        via=via,
        allow_moves=allow_moves,
        device=device,
        force=Stage.QUANTIZE in again,
        console=console,
    )
    compiled = compile(
        place,
        target=target,
        schedule=schedule,
        input=input,
        ram=ram,
        keep_dead=keep_dead,
        widen_weights=widen_weights,
        force=Stage.COMPILE in again,
        console=console,
    )
    firmware = build(place, target=target, force=Stage.BUILD in again, console=console)
    measured = None
    if board.runs_here:
        measured = measure(
            place, images, target=target, on=on, force=Stage.MEASURE in again,
            console=console,
        )  # fmt: skip
    else:
        say(
            "measure",
            f"no emulator knows {board.name}: skipped; with the board: netbooster flash "
            f"{place} --target {target}, then netbooster measure",
        )
    page = report(place, target=target, console=console)
    return Result(place, selection, quantized, compiled, firmware, measured, page)


def _again(start: str | None, folder: Path) -> list[Stage]:
    """The stages that are done whether or not they are up to date.

    Raises:
        DeployError: no such stage, or nothing before it was ever done.
    """
    if start is None:
        return []
    order = list(Stage)
    if start not in order:
        raise DeployError(f"unknown stage '{start}'; choose one of {', '.join(order)}")
    if start != Stage.TRAIN and not folder.is_dir():
        raise DeployError(f"--from {start}: no run in {folder} yet; leave --from out")
    return order[order.index(Stage(start)) :]
