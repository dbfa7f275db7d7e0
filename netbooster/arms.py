"""A recipe's one network, trained by the method that the recipe names.

The networks that it builds on (a teacher, the giant of a source data set) are recipes of their own.
They are trained first, in run folders beside this one, and found there by the next recipe that
needs them.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from netbooster.checkpoint import RunStore, load_torch
from netbooster.data import Dataset, load_dataset
from netbooster.distillation import (
    Distillation,
    RocketLaunch,
    RocketNetworks,
    RouteDistillation,
    TeacherFree,
)
from netbooster.distributed import World, check_device
from netbooster.dropblock import DropBlock
from netbooster.errors import NetBoosterError
from netbooster.evaluate import evaluate_splits
from netbooster.method_config import BOOSTED, WITH_TEACHER, DropBlockConfig, NetAugConfig
from netbooster.models import build_model
from netbooster.netaug import NetAugLoss, NetAugNetwork, measure_bn
from netbooster.objective import CrossEntropy, Objective, RouteRecorder, route_file, route_steps
from netbooster.pipeline import (
    _is_finished,
    _open_store,
    _percents,
    _save_network,
    _total_steps,
    build_giant,
    build_network,
    contract_run,
    load_contracted,
    load_giant,
    train_netbooster,
    train_vanilla,
)
from netbooster.progress import Reporter
from netbooster.recipe import DistillationConfig, Recipe
from netbooster.train import (
    Trainer,
    netbooster_phases,
    reproducible,
    seed_everything,
    vanilla_phases,
)

if TYPE_CHECKING:
    from rich.console import Console

_REMEDY = "run the recipe again"


@dataclass
class Arm:
    """What training needs: the module that trains, its objective, and what is kept in the end."""

    model: nn.Module
    objective: Objective
    finish: Callable[[nn.Module], nn.Module]
    """From the trained module to the network that is kept."""


def train_method(
    recipe: Recipe, run_dir: Path, *, device: str = "cpu", console: "Console | None" = None
) -> Path:
    """Train a recipe's network by its ``method``; resumes after a kill, skips what is finished.

    Args:
        recipe: one with ``method``.
        run_dir: its run folder; recipes that it builds on get theirs beside.
        device: ``"cpu"`` or ``"cuda"``.
        console: where progress is shown; None is silent.

    Returns:
        ``contracted.pt`` in the arm's folder.

    Raises:
        NetBoosterError: the recipe names no method, a folder belongs to another recipe, the
            source's network does not fit, the loss is not finite, the disk is full.
    """
    if recipe.method is None:
        raise NetBoosterError(f"recipe {recipe.name}: has no 'method'; set one, such as vanilla")
    if recipe.transfer is not None:
        source = recipe.transfer.source
        folder = _beside(run_dir, source)
        if recipe.method in BOOSTED:
            train_giant(source, folder, device=device, console=console)
        else:
            train_method(source, folder, device=device, console=console)
    if recipe.method in WITH_TEACHER:
        teacher = _teacher_recipe(recipe)
        train_method(teacher, _beside(run_dir, teacher), device=device, console=console)
    alone = recipe.transfer is None and not recipe.route
    if recipe.method == "vanilla" and alone:
        return train_vanilla(recipe, run_dir, device=device, console=console)
    if recipe.method == "netbooster" and alone:
        train_netbooster(recipe, run_dir, device=device, console=console)
        return contract_run(recipe, run_dir, device=device, console=console)
    if recipe.method in BOOSTED:
        _train_boosted(recipe, run_dir, device=device, console=console)
        return contract_run(recipe, run_dir, device=device, console=console)
    return _train_plain(recipe, run_dir, device=device, console=console)


def train_giant(
    recipe: Recipe, run_dir: Path, *, device: str = "cpu", console: "Console | None" = None
) -> Path:
    """Only the giant's phase of a recipe, for transfer; PLT can go on from it later.

    Returns:
        ``boosted/giant.pt``.
    """
    if recipe.method in WITH_TEACHER:
        teacher = _teacher_recipe(recipe)
        train_method(teacher, _beside(run_dir, teacher), device=device, console=console)
    _train_boosted(recipe, run_dir, device=device, console=console, giant_only=True)
    return run_dir / "boosted" / "giant.pt"


def prepare_plain(
    recipe: Recipe, dataset: Dataset, run_dir: Path, store: RunStore | None, device: torch.device
) -> Arm:
    """The arm of a method that keeps the network as it is."""
    smoothing = recipe.train.label_smoothing
    total = _total_steps(recipe, dataset)
    network = build_network(recipe, dataset)
    if recipe.transfer is not None:
        source = recipe.transfer.source
        path = _beside(run_dir, source) / source.arm / "contracted.pt"
        _take_features(network, load_contracted(path)[0], path, len(dataset.labels))
    objective: Objective = CrossEntropy(smoothing)
    if recipe.method == "netaug":
        config = recipe.netaug or NetAugConfig()
        objective = NetAugLoss(
            config,
            seed=recipe.seed,
            total_steps=total,
            epoch_steps=round(dataset.split_size("train") / recipe.train.batch_size),
            label_smoothing=smoothing,
        )

        def cut_out(wide: nn.Module) -> nn.Module:
            assert isinstance(wide, NetAugNetwork)
            base = wide.export().to(device)
            measure_bn(base, dataset, config.bn_images, device)
            return base

        return Arm(NetAugNetwork(network, config), objective, cut_out)
    if recipe.method == "rocket-launch":
        settings = _distillation(recipe)
        booster = build_model(
            _teacher_recipe(recipe).model.name,
            num_classes=len(dataset.labels),
            resolution=dataset.preprocess.resolution,
            channels=dataset.preprocess.channels,
        )
        objective = RocketLaunch(hint_weight=settings.hint_weight, label_smoothing=smoothing)

        def take_light(both: nn.Module) -> nn.Module:
            assert isinstance(both, RocketNetworks)
            return both.light

        return Arm(RocketNetworks(network, booster), objective, take_light)
    if recipe.method == "dropblock":
        shape = dataset.preprocess
        objective = DropBlock(
            network,
            recipe.dropblock or DropBlockConfig(),
            torch.zeros(1, shape.channels, shape.resolution, shape.resolution),
            total_steps=total,
            label_smoothing=smoothing,
        )
    elif recipe.method != "vanilla":
        objective = prepare_distillation(recipe, dataset, run_dir, device, total)
    if recipe.route and store is not None:
        steps = route_steps(total, recipe.route)[:-1]
        objective = RouteRecorder(objective, store.directory, steps)
    return Arm(network, objective, lambda model: model)


def prepare_distillation(
    recipe: Recipe, dataset: Dataset, run_dir: Path, device: torch.device, total_steps: int
) -> Objective:
    """The objective of a method that distils, its teacher loaded onto ``device``."""
    settings = _distillation(recipe)
    smoothing = recipe.train.label_smoothing
    if recipe.method == "tf-kd":
        return TeacherFree(
            weight=settings.weight,
            temperature=settings.temperature,
            correct_prob=settings.correct_prob,
            label_smoothing=smoothing,
        )
    teacher_recipe = _teacher_recipe(recipe)
    folder = _beside(run_dir, teacher_recipe) / teacher_recipe.arm
    path = folder / "contracted.pt"
    teacher, meta = load_contracted(path)
    if meta["labels"] != list(dataset.labels):
        raise NetBoosterError(
            f"{path}: the teacher knows other classes than data set {dataset.name}; name a "
            "teacher's recipe with the same classes"
        )
    own = dataset.preprocess
    theirs = meta["preprocess"]
    if (list(own.mean), list(own.std)) != (theirs["mean"], theirs["std"]):
        raise NetBoosterError(
            f"{path}: the teacher's images are normalized by other data.mean and data.std than "
            f"those of {recipe.name}; use the same in both recipes"
        )
    teacher = teacher.to(device)
    if recipe.method != "rco-kd":
        return Distillation(
            teacher,
            weight=settings.weight,
            temperature=settings.temperature,
            label_smoothing=smoothing,
            resolution=theirs["resolution"],
        )
    return RouteDistillation(
        teacher,
        _load_route(folder, meta["steps"], teacher_recipe.route, teacher),
        total_steps=total_steps,
        weight=settings.weight,
        temperature=settings.temperature,
        label_smoothing=smoothing,
        resolution=theirs["resolution"],
    )


def start_transferred_giant(giant: nn.Module, source: Recipe, run_dir: Path, classes: int) -> None:
    """Give a target's giant the weights of the source's, but for the classifier."""
    path = _beside(run_dir, source) / "boosted" / "giant.pt"
    _take_features(giant, load_giant(path)[0], path, classes)


def _train_plain(recipe: Recipe, run_dir: Path, *, device: str, console: "Console | None") -> Path:
    _check_one_process(recipe)
    reporter = Reporter(console)
    dataset, target = load_dataset(recipe.data), check_device(device)
    arm = recipe.arm
    store = _open_store(recipe, dataset, run_dir, arm, World())
    path = store.directory / "contracted.pt"
    if _is_finished(path, store, recipe, dataset, arm):
        reporter.say(f"{recipe.name}: finished, skipped ({path})")
        return path
    with reproducible(target, recipe.train.threads):
        parts = prepare_plain(recipe, dataset, run_dir, store, target)
        seed_everything(recipe.seed)  # however many weights the method drew
        trainer = _trainer(recipe, dataset, parts, target, store, reporter)
        trainer.resume()
        for phase in vanilla_phases(recipe, _total_steps(recipe, dataset)):
            trainer.train_steps(phase)
        model = parts.finish(trainer.result())
        accuracy = evaluate_splits(model, dataset, device=target)
    _save_network(path, model, recipe, dataset, arm, {"accuracy": accuracy})
    reporter.say(f"{recipe.name}: {_percents(accuracy)} -> {path}")
    return path


def _train_boosted(
    recipe: Recipe,
    run_dir: Path,
    *,
    device: str,
    console: "Console | None",
    giant_only: bool = False,
) -> None:
    _check_one_process(recipe)
    reporter = Reporter(console)
    dataset, target = load_dataset(recipe.data), check_device(device)
    store = _open_store(recipe, dataset, run_dir, "boosted", World())
    giant_path = store.directory / "giant.pt"
    if giant_only and _is_finished(giant_path, store, recipe, dataset, "boosted"):
        reporter.say(f"{recipe.name}: giant finished, skipped ({giant_path})")
        return
    total = _total_steps(recipe, dataset)
    with reproducible(target, recipe.train.threads):
        giant = build_giant(recipe, dataset)
        if recipe.transfer is not None:
            start_transferred_giant(giant, recipe.transfer.source, run_dir, len(dataset.labels))
        objective: Objective = CrossEntropy(recipe.train.label_smoothing)
        if recipe.method == "netbooster-kd":
            objective = prepare_distillation(recipe, dataset, run_dir, target, total)
        arm = Arm(giant, objective, lambda model: model)
        seed_everything(recipe.seed)  # however many weights loading drew
        trainer = _trainer(recipe, dataset, arm, target, store, reporter)
        trainer.resume()
        for phase in netbooster_phases(recipe, total):
            trainer.train_steps(phase)
            if phase.name == "giant" and trainer.step == phase.end:
                accuracy = evaluate_splits(trainer.result(), dataset, device=target)
                expansion = recipe.netbooster.expansion.model_dump(mode="json")
                extra = {"accuracy": accuracy, "expansion": expansion}
                _save_network(giant_path, trainer.result(), recipe, dataset, "boosted", extra)
                reporter.say(f"{recipe.name}: giant {_percents(accuracy)} -> {giant_path}")
                if giant_only:
                    return


def _check_one_process(recipe: Recipe) -> None:
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise NetBoosterError(
            f"recipe {recipe.name}: method '{recipe.method}' with its teacher or source trains in "
            "one process; start it without torchrun"
        )


def _trainer(
    recipe: Recipe,
    dataset: Dataset,
    arm: Arm,
    device: torch.device,
    store: RunStore,
    reporter: Reporter,
) -> Trainer:
    return Trainer(
        arm.model,
        dataset,
        recipe.train,
        seed=recipe.seed,
        device=device,
        store=store,
        reporter=reporter,
        objective=arm.objective,
    )


def _take_features(model: nn.Module, source: nn.Module, path: Path, classes: int) -> None:
    """Copy all weights but the classifier's, which is new for the target's classes."""
    linear = [name for name, m in model.named_modules() if isinstance(m, nn.Linear)]
    classifier = linear[-1] if linear else ""
    if not classifier or model.get_submodule(classifier).out_features != classes:
        raise NetBoosterError(
            f"{type(model).__name__} does not end in a linear layer of {classes} classes, so "
            "transfer cannot replace its classifier"
        )
    kept = {name for name in model.state_dict() if not name.startswith(f"{classifier}.")}
    state = source.state_dict()
    for name in sorted({n for n in state if not n.startswith(f"{classifier}.")} ^ kept):
        raise NetBoosterError(
            f"{path}: holds another network (tensor '{name}'); the source's recipe must have the "
            "same model and netbooster.expansion"
        )
    own = model.state_dict()
    for name in kept:
        if own[name].shape != state[name].shape:
            raise NetBoosterError(
                f"{path}: holds another network (tensor '{name}' is {tuple(state[name].shape)}, "
                f"not {tuple(own[name].shape)}); the source's recipe must have the same model, "
                "netbooster.expansion and data.channels"
            )
    model.load_state_dict({**own, **{name: state[name] for name in kept}})


def _load_route(
    folder: Path, total: int, points: int, teacher: nn.Module
) -> list[dict[str, Tensor]]:
    """Weights along the teacher's training; the last are those of the finished ``teacher``."""
    steps = route_steps(total, points)[:-1]
    route: list[dict[str, Tensor]] = [
        load_torch(route_file(folder, step), _REMEDY)["state_dict"] for step in steps
    ]
    return [*route, {name: t.clone() for name, t in teacher.state_dict().items()}]


def _distillation(recipe: Recipe) -> DistillationConfig:
    return recipe.distillation or DistillationConfig()


def _teacher_recipe(recipe: Recipe) -> Recipe:
    teacher = _distillation(recipe).teacher
    assert teacher is not None  # checked when the recipe was read
    return teacher


def _beside(run_dir: Path, recipe: Recipe) -> Path:
    return run_dir.parent / recipe.name
