# SPDX-License-Identifier: Apache-2.0
"""One run: one network, trained by one method from one recipe, in one folder.

``train`` leaves there ``recipe.toml`` (resolved), ``metrics.jsonl``, ``checkpoint.pt``,
``giant.pt`` where the method grows the network, and the finished network, ``contracted.pt``. What
the method builds on (a teacher, a source) are runs beside. Under `torchrun` every process calls the
same functions, and rank 0 alone reads, writes and evaluates. Scores are shares, 0..1.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from netbooster.common.errors import NetBoosterError
from netbooster.common.files import claim
from netbooster.common.seeds import reproducible, seed_everything
from netbooster.data import load_dataset
from netbooster.experiment.recipe import Recipe, save_recipe
from netbooster.methods import Job, Kept, find_method
from netbooster.tasks import load_task
from netbooster.training.checkpoint import RunStore, load_torch
from netbooster.training.distributed import World, on_writer, open_device
from netbooster.training.evaluate import evaluate_splits
from netbooster.training.loop import Trainer
from netbooster.training.networks import FINISHED, save_network
from netbooster.training.objective import RouteRecorder, route_steps
from netbooster.training.phases import Phase
from netbooster.training.progress import Reporter

if TYPE_CHECKING:
    from rich.console import Console

OnKept = Callable[[Phase, nn.Module, dict[str, Any]], None]
"""Called with a phase that keeps its network, that network, and what its file must say."""


def train(
    recipe: Recipe,
    folder: str | Path,
    *,
    device: str = "cpu",
    console: "Console | None" = None,
) -> Path:
    """Train a recipe's network by its method, to the network that is kept in the end.

    Resumes after a kill, and skips what is finished. Runs that it builds on come first, beside.

    Args:
        recipe: what to train; one without ``method`` means NetBooster.
        folder: the run's folder, which need not exist.
        device: ``"cpu"`` or ``"cuda"``.
        console: where progress is shown; None is silent.

    Returns:
        ``folder``.

    Raises:
        NetBoosterError: the folder belongs to another recipe, a network that the run builds on
            does not fit, the loss is not finite, the contracted network is not the giant's equal,
            the disk is full, another process has died.
    """
    return _train(recipe.with_method(), Path(folder), FINISHED, device, console)


def train_until(
    recipe: Recipe,
    folder: str | Path,
    file: str,
    *,
    device: str = "cpu",
    console: "Console | None" = None,
) -> Path:
    """As :func:`train`, only until ``file`` (such as ``giant.pt``) is written; it can go on later.

    Raises:
        NetBoosterError: as :func:`train`, or the method never writes such a file.
    """
    return _train(recipe.with_method(), Path(folder), file, device, console)


def _train(
    recipe: Recipe, folder: Path, until: str, device: str, console: "Console | None"
) -> Path:
    assert recipe.method is not None
    check_layout(folder)
    for need in find_method(recipe.method).needs(recipe):
        assert isinstance(need.recipe, Recipe)
        _train(need.recipe, folder.parent / need.recipe.name, need.file, device, console)
    target, world = open_device(device)
    dataset, task = load_dataset(recipe.data), load_task(recipe.task)
    job = Job(recipe, dataset, task, target, world, folder)
    reporter = Reporter(console if world.writes else None)
    with _alone(folder, world, reporter):
        store = open_store(recipe, job)
        if on_writer(world, lambda: _is_finished(folder / until, recipe, job, store)):
            reporter.say(f"{folder.name}: finished, skipped ({folder / until})")
            return folder

        def keep(phase: Phase, network: nn.Module, extra: dict[str, Any]) -> None:
            _save(folder / phase.keeps, Kept(network, extra), recipe, job, reporter)

        with reproducible(target, recipe.train.threads):
            trained = fit(job, store=store, reporter=reporter, on_kept=keep, until=until)
            if until == FINISHED:
                on_writer(world, lambda: _save(folder / FINISHED, trained(), recipe, job, reporter))
        on_writer(world, lambda: _must_be_there(folder / until, store))
    return folder


def fit(
    job: Job,
    *,
    store: RunStore | None = None,
    reporter: Reporter | None = None,
    on_kept: OnKept | None = None,
    until: str = FINISHED,
) -> Callable[[], Kept]:
    """Train through the method's phases; takes up the store's checkpoint, if there is one.

    Args:
        job: what to train, by the method that its recipe names.
        store: where checkpoints and metrics go; None keeps everything in memory.
        on_kept: called in rank 0 when a phase ends whose network is to be kept (again after a
            kill just there).
        until: the phase that keeps this file is the last one trained.

    Returns:
        What makes the network that is kept in the end; one process is enough for that.
    """
    recipe = job.recipe
    assert recipe.method is not None
    kind = find_method(recipe.method)
    method = kind(job)
    seed_everything(recipe.seed)  # however many weights the method drew
    objective = method.objective
    if recipe.route and store is not None and job.world.writes:
        steps = route_steps(job.steps, recipe.route)[:-1]
        objective = RouteRecorder(objective, store.directory, steps)
    trainer = Trainer(
        method.model,
        job.dataset,
        recipe.train,
        task=job.task,
        seed=recipe.seed,
        device=job.device,
        store=store,
        reporter=reporter,
        world=job.world,
        objective=objective,
    )
    trainer.resume()
    phases = kind.phases(recipe, job.steps)
    # A comparison is only fair at equal optimizer steps.
    assert sum(phase.steps for phase in phases) == job.steps
    for phase in phases:
        trainer.train_steps(phase)
        if phase.keeps and on_kept is not None and trainer.step == phase.end:
            ended = partial(on_kept, phase, trainer.result(), method.described())
            on_writer(job.world, ended)
        if phase.keeps == until:
            break
    return lambda: method.finish(trainer.result())


def open_store(recipe: Recipe, job: Job) -> RunStore:
    """The run's store, once its checkpoint is known to be of this recipe; writes the recipe.

    Raises:
        NetBoosterError: the checkpoint is damaged or of another recipe.
    """
    assert job.folder is not None
    identity = recipe.identity(job.dataset.fingerprint())
    store = RunStore(job.folder, identity, read_only=not job.world.writes)

    def prepare() -> None:
        if store.checkpoint_path.is_file():
            store.read()
        save_recipe(recipe, store.directory)

    on_writer(job.world, prepare)
    return store


def check_layout(folder: Path) -> None:
    """Refuse a run folder of an earlier layout, which held two networks.

    Raises:
        NetBoosterError: it is one; says what to run.
    """
    if not (folder / "recipe.toml").is_file():
        return
    for checkpoint in sorted(folder.glob("*/checkpoint.pt")):
        if not (checkpoint.parent / "recipe.toml").is_file():
            raise NetBoosterError(
                f"{folder}: has the layout of an earlier version ({checkpoint.parent.name}/ holds "
                f"no recipe.toml); delete {checkpoint.parent} or choose another folder, and train "
                f"again: netbooster train {folder / 'recipe.toml'} --output FOLDER"
            )


def _alone(folder: Path, world: World, reporter: Reporter) -> AbstractContextManager[None]:
    """Work in a run's folder while no other process does; rank 0 holds it for all."""
    if not world.writes:
        return nullcontext()
    return claim(
        folder, lambda: reporter.say(f"{folder}: another process works here; waiting for its end")
    )


def _is_finished(path: Path, recipe: Recipe, job: Job, store: RunStore) -> bool:
    """Whether ``path`` holds what this run would write.

    Raises:
        NetBoosterError: it is damaged or of another recipe.
    """
    if not path.is_file():
        return False
    if load_torch(path, store.remedy)["hashes"]["recipe"] != recipe.digest(
        job.dataset.fingerprint()
    ):
        raise NetBoosterError(f"{path}: was trained by another recipe; {store.remedy}")
    return True


def _must_be_there(path: Path, store: RunStore) -> None:
    if not path.is_file():
        raise NetBoosterError(
            f"{path}: missing, though the training has gone past it; {store.remedy}"
        )


def _save(path: Path, kept: Kept, recipe: Recipe, job: Job, reporter: Reporter) -> None:
    """Evaluate a network on all splits and write it."""
    scores = evaluate_splits(
        kept.network.to(job.device), job.dataset, task=job.task, device=job.device
    )
    save_network(
        path,
        kept.network,
        network=recipe.model.name,
        dataset=job.dataset,
        task=job.task,
        hashes={"recipe": recipe.digest(job.dataset.fingerprint()), **kept.hashes},
        method=recipe.method,
        steps=job.steps,
        **{job.task.metric: scores},
        **kept.extra,
    )
    error = kept.extra.get("contraction_error")
    detail = "" if error is None else f", contraction error {error:.1e}"
    reporter.say(f"{path.parent.name}: {job.task.describe(scores)}{detail} -> {path}")
