"""The training half of a run, stage by stage, from a recipe into a run folder.

``runs/<name>/`` gets ``recipe.toml`` (resolved) and a folder for each arm:

- ``vanilla/`` (or the method's name): ``metrics.jsonl``, ``checkpoint.pt`` and the finished
  network, ``contracted.pt``;
- ``boosted/``: the same, with the giant at the end of its own phase as ``giant.pt``.

Both arms' ``contracted.pt`` have one format, so later stages treat them alike. A stage that finds
its own finished artifact skips itself with a line that says so; accuracies are shares, 0..1. Under
`torchrun` every process calls the same stages, and rank 0 alone reads, writes and evaluates.
"""

import copy
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from netbooster.common.errors import NetBoosterError
from netbooster.common.files import claim
from netbooster.common.seeds import reproducible
from netbooster.data import Dataset, load_dataset
from netbooster.experiment.artifacts import (
    build_giant,
    build_network,
    is_finished,
    load_contracted,
    load_giant,
    open_store,
    percents,
    save_network,
    total_steps,
)
from netbooster.experiment.recipe import Recipe
from netbooster.giant.contraction import contract, contraction_error, enlarged_kernels
from netbooster.methods.prepare import Arm, prepare_boosted, prepare_plain
from netbooster.training.checkpoint import (
    RunStore,
    load_state,
    load_torch,
    portable_state,
    state_digest,
)
from netbooster.training.distributed import World, barrier, on_writer, open_device
from netbooster.training.evaluate import evaluate_splits
from netbooster.training.loop import Trainer
from netbooster.training.objective import CrossEntropy
from netbooster.training.phases import netbooster_phases, vanilla_phases
from netbooster.training.progress import Reporter

if TYPE_CHECKING:
    from rich.console import Console

__all__ = [
    "build_giant",
    "build_network",
    "contract_checked",
    "contract_run",
    "fit_netbooster",
    "fit_vanilla",
    "load_contracted",
    "load_giant",
    "train_boosted",
    "train_netbooster",
    "train_plain",
    "train_vanilla",
]

MAX_CONTRACTION_ERROR = 1e-4
"""Largest relative difference between the linearized giant and the contracted network."""
MAX_MERGING_ERROR = 1e-9
"""The same in float64, where rounding is no excuse."""
ROUNDING_FACTOR = 16
"""How much farther from the exact result than the giant the contracted network may be in float32:
what the giant's inner BNs subtract on the way, the one merged layer subtracts at its end."""
CONTRACTION_IMAGES = 64
"""Validation images on which that difference is measured."""


def train_plain(
    recipe: Recipe, run_dir: Path, *, device: str = "cpu", console: "Console | None" = None
) -> Path:
    """Train a network that keeps its form by the recipe's method (vanilla where it names none).

    Resumes after a kill. Networks that it builds on must be there: see ``arms.train_method``.

    Args:
        recipe: what to train.
        run_dir: the run folder, ``runs/<name>``.
        device: ``"cpu"`` or ``"cuda"``.
        console: where progress is shown; None is silent.

    Returns:
        ``contracted.pt`` in the arm's folder.

    Raises:
        NetBoosterError: the folder belongs to another recipe, the loss is not finite, the disk is
            full, another process has died.
    """
    dataset, target, world = load_dataset(recipe.data), *open_device(device)
    reporter = Reporter(console if world.writes else None)
    arm = recipe.arm
    label = recipe.name if recipe.method else arm
    with _alone(run_dir / arm, world, reporter):
        store = open_store(recipe, dataset, run_dir, arm, world)
        path = store.directory / "contracted.pt"
        if is_finished(path, store, recipe, dataset, arm, world=world):
            reporter.say(f"{label}: finished, skipped ({path})")
            return path
        with reproducible(target, recipe.train.threads):
            parts = prepare_plain(recipe, dataset, run_dir, store, target, world)
            trainer = _trainer(parts, recipe, dataset, target, store, reporter, world)
            for phase in vanilla_phases(recipe, total_steps(recipe, dataset)):
                trainer.train_steps(phase)

            def save() -> None:
                model = parts.finish(trainer.result())
                accuracy = evaluate_splits(model, dataset, device=target)
                save_network(path, model, recipe, dataset, arm, {"accuracy": accuracy})
                reporter.say(f"{label}: {percents(accuracy)} -> {path}")

            on_writer(world, save)
        return path


def train_vanilla(
    recipe: Recipe, run_dir: Path, *, device: str = "cpu", console: "Console | None" = None
) -> Path:
    """The baseline of a recipe that names no method; as :func:`train_plain`."""
    plain = recipe.model_copy(update={"method": None})
    return train_plain(plain, run_dir, device=device, console=console)


def train_boosted(
    recipe: Recipe,
    run_dir: Path,
    *,
    device: str = "cpu",
    console: "Console | None" = None,
    giant_only: bool = False,
) -> Path:
    """Expand, train the giant, linearize it (PLT); resumes after a kill.

    Writes ``boosted/giant.pt`` when the giant's phase ends. Arguments and errors are those of
    :func:`train_plain`.

    Args:
        giant_only: stop there; a later call goes on.

    Returns:
        ``boosted/checkpoint.pt``, from which :func:`contract_run` goes on.
    """
    dataset, target, world = load_dataset(recipe.data), *open_device(device)
    reporter = Reporter(console if world.writes else None)
    with _alone(run_dir / "boosted", world, reporter):
        store = open_store(recipe, dataset, run_dir, "boosted", world)
        label = f"{recipe.name}: " if recipe.method else ""
        path = store.directory / "giant.pt"
        if giant_only and is_finished(path, store, recipe, dataset, "boosted", world=world):
            reporter.say(f"{label}giant finished, skipped ({path})")
            return store.checkpoint_path

        def save_giant(giant: nn.Module) -> None:
            accuracy = evaluate_splits(giant, dataset, device=target)
            expansion = recipe.netbooster.expansion.model_dump(mode="json")
            extra = {"accuracy": accuracy, "expansion": expansion}
            save_network(path, giant, recipe, dataset, "boosted", extra)
            reporter.say(f"{label}giant: {percents(accuracy)} -> {path}")

        with reproducible(target, recipe.train.threads):
            parts = prepare_boosted(recipe, dataset, run_dir, target, world)
            trainer = _trainer(parts, recipe, dataset, target, store, reporter, world)
            _train_giant_and_plt(trainer, recipe, save_giant, giant_only=giant_only)
        barrier(world)
        return store.checkpoint_path


def train_netbooster(
    recipe: Recipe, run_dir: Path, *, device: str = "cpu", console: "Console | None" = None
) -> Path:
    """The boosted arm of a recipe that names no method; as :func:`train_boosted`."""
    plain = recipe.model_copy(update={"method": None})
    return train_boosted(plain, run_dir, device=device, console=console)


def contract_run(
    recipe: Recipe, run_dir: Path, *, device: str = "cpu", console: "Console | None" = None
) -> Path:
    """Contract the linearized giant into the original network and measure its accuracy.

    Returns:
        ``boosted/contracted.pt``; beside accuracy and hashes it holds ``contraction_error``
        (largest relative difference of the logits, on validation images) and
        ``giant_accuracy``.

    Raises:
        NetBoosterError: PLT has not ended, a layer cannot be merged exactly, or the contracted
            network differs by more than 1e-4.
    """
    target, world = open_device(device)
    reporter = Reporter(console if world.writes else None)
    folder = run_dir / "boosted"
    with _alone(folder, world, reporter) if folder.is_dir() else nullcontext():
        on_writer(world, lambda: _contract_run(recipe, run_dir, target, reporter))
    return folder / "contracted.pt"


def _contract_run(recipe: Recipe, run_dir: Path, target: torch.device, reporter: Reporter) -> None:
    dataset = load_dataset(recipe.data)
    store = open_store(recipe, dataset, run_dir, "boosted")
    path = store.directory / "contracted.pt"
    state = load_torch(store.checkpoint_path, "run `netbooster train` first")
    store.check_identity(state, store.checkpoint_path)
    end = netbooster_phases(recipe, total_steps(recipe, dataset))[-1].end
    if state["step"] != end:
        raise NetBoosterError(
            f"{store.checkpoint_path}: training is at step {state['step']} of {end}; run "
            "`netbooster train` to its end before contracting"
        )
    giant = build_giant(recipe, dataset)
    weights = state["average"] or state["model"]
    load_state(giant, weights, store.checkpoint_path, store.remedy)
    digest = state_digest(portable_state(giant))
    if is_finished(path, store, recipe, dataset, "boosted", giant_digest=digest):
        reporter.say(f"contract: finished, skipped ({path})")
        return
    with reproducible(target, recipe.train.threads):
        contracted, error = contract_checked(giant, dataset)
        accuracy = evaluate_splits(contracted.to(target), dataset, device=target)
    extra: dict[str, Any] = {"accuracy": accuracy, "contraction_error": error}
    if kernels := enlarged_kernels(giant):
        extra["enlarged_kernels"] = kernels
    giant_path = store.directory / "giant.pt"
    if giant_path.is_file():
        extra["giant_accuracy"] = load_torch(giant_path, store.remedy)["accuracy"]
    save_network(path, contracted, recipe, dataset, "boosted", extra, giant_digest=digest)
    reporter.say(f"contract: relative error {error:.1e}, {percents(accuracy)} -> {path}")


def fit_vanilla(
    recipe: Recipe, dataset: Dataset, *, device: torch.device, store: RunStore | None = None
) -> nn.Module:
    """Train the baseline to its end, in memory where ``store`` is None; returns it."""
    arm = Arm(build_network(recipe, dataset), CrossEntropy(recipe.train.label_smoothing))
    trainer = _trainer(arm, recipe, dataset, device, store)
    for phase in vanilla_phases(recipe, total_steps(recipe, dataset)):
        trainer.train_steps(phase)
    return trainer.result()


def fit_netbooster(
    recipe: Recipe,
    dataset: Dataset,
    *,
    device: torch.device,
    store: RunStore | None = None,
    on_giant: Callable[[nn.Module], None] | None = None,
) -> nn.Module:
    """Train giant and PLT to their end; returns the linearized giant.

    Args:
        on_giant: called with the giant at the end of its own phase (again after a kill there).
    """
    arm = Arm(build_giant(recipe, dataset), CrossEntropy(recipe.train.label_smoothing))
    trainer = _trainer(arm, recipe, dataset, device, store)
    _train_giant_and_plt(trainer, recipe, on_giant)
    return trainer.result()


def contract_checked(giant: nn.Module, dataset: Dataset) -> tuple[nn.Module, float]:
    """The contracted network, and its largest relative difference from the linearized giant.

    Both are compared in eval mode on validation images. A giant that has trained for a few steps
    only may amplify the rounding of float32 beyond any fixed bound; then the comparison in float64
    decides, and that the contracted network stays near its result, measured by the giant itself.

    Raises:
        NetBoosterError: a layer cannot be merged, or the difference exceeds 1e-4.
    """
    giant = giant.cpu().eval()
    contracted = contract(giant).eval()
    images, _ = next(iter(dataset.split("val", limit=CONTRACTION_IMAGES)))
    inputs = dataset.preprocess.normalize(images.cpu())
    error = contraction_error(giant, contracted, inputs)
    if not error <= MAX_CONTRACTION_ERROR:  # also refuses nan
        exact = copy.deepcopy(giant).double()
        merging = contraction_error(exact, contract(exact), inputs)
        rounding = contraction_error(exact, giant, inputs)
        rounded = contraction_error(exact, contracted, inputs)
        if not (merging <= MAX_MERGING_ERROR and rounded <= ROUNDING_FACTOR * rounding):
            raise NetBoosterError(
                f"contracted network {dataset.name}: differs from the linearized giant by "
                f"{error:.1e} relative, more than {MAX_CONTRACTION_ERROR:g} (in float64 by "
                f"{merging:.1e}; the giant's own rounding is {rounding:.1e}): train longer "
                "(train.steps), on larger batches or with a lower netbooster.plt_lr"
            )
    return contracted, error


def _alone(folder: Path, world: World, reporter: Reporter) -> AbstractContextManager[None]:
    """Work in an arm's folder while no other run does; rank 0 holds it for all."""
    if not world.writes:
        return nullcontext()
    return claim(
        folder, lambda: reporter.say(f"{folder}: another process works here; waiting for its end")
    )


def _train_giant_and_plt(
    trainer: Trainer,
    recipe: Recipe,
    on_giant: Callable[[nn.Module], None] | None,
    *,
    giant_only: bool = False,
) -> None:
    total = total_steps(recipe, trainer.dataset)
    phases = netbooster_phases(recipe, total)
    # The comparison is only fair at equal optimizer steps.
    assert sum(phase.steps for phase in phases) == total
    for phase in phases:
        trainer.train_steps(phase)
        if phase.name == "giant" and on_giant is not None and trainer.step == phase.end:
            on_writer(trainer.world, partial(on_giant, trainer.result()))
        if giant_only:
            return


def _trainer(
    arm: Arm,
    recipe: Recipe,
    dataset: Dataset,
    device: torch.device,
    store: RunStore | None,
    reporter: Reporter | None = None,
    world: World | None = None,
) -> Trainer:
    """A trainer that has taken up the store's checkpoint, if there is one."""
    trainer = Trainer(
        arm.model,
        dataset,
        recipe.train,
        seed=recipe.seed,
        device=device,
        store=store,
        reporter=reporter,
        world=world,
        objective=arm.objective,
    )
    trainer.resume()
    return trainer
