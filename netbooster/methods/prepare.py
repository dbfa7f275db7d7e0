"""What a recipe's method trains and minimizes, and which network it keeps in the end."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from netbooster.common.errors import NetBoosterError
from netbooster.common.seeds import seed_everything
from netbooster.data import Dataset
from netbooster.experiment.artifacts import (
    ALONE,
    build_giant,
    build_network,
    load_contracted,
    load_giant,
    total_steps,
)
from netbooster.experiment.recipe import DistillationConfig, Recipe
from netbooster.methods.config import DropBlockConfig, NetAugConfig
from netbooster.methods.distillation import (
    Distillation,
    RocketLaunch,
    RocketNetworks,
    RouteDistillation,
    TeacherFree,
)
from netbooster.methods.dropblock import DropBlock
from netbooster.methods.netaug import NetAugLoss, NetAugNetwork, measure_bn
from netbooster.models import build_model
from netbooster.training.checkpoint import RunStore, load_torch
from netbooster.training.distributed import World, on_writer
from netbooster.training.objective import (
    CrossEntropy,
    Objective,
    RouteRecorder,
    route_file,
    route_steps,
)

_REMEDY = "run the recipe again"


@dataclass
class Arm:
    """What training needs: the module that trains, its objective, and what is kept in the end."""

    model: nn.Module
    objective: Objective
    finish: Callable[[nn.Module], nn.Module] = lambda model: model
    """From the trained module to the network that is kept."""


def prepare_plain(
    recipe: Recipe,
    dataset: Dataset,
    run_dir: Path,
    store: RunStore | None,
    device: torch.device,
    world: World = ALONE,
) -> Arm:
    """The arm of a method that keeps the network as it is.

    Args:
        run_dir: the recipe's run folder; its teacher's and its source's lie beside.
        store: where the route is kept, if the recipe keeps one; None keeps none.

    Raises:
        NetBoosterError: the source's or the teacher's network is missing or does not fit.
    """
    smoothing = recipe.train.label_smoothing
    total = total_steps(recipe, dataset)
    network = build_network(recipe, dataset)
    if recipe.transfer is not None:
        source = recipe.transfer.source
        path = folder_beside(run_dir, source) / source.arm / "contracted.pt"
        _take_features(network, load_contracted(path, world)[0], path, len(dataset.labels))
    if recipe.method == "netaug":
        arm = _netaug(recipe, dataset, network, device)
    elif recipe.method == "rocket-launch":
        arm = _rocket_launch(recipe, dataset, network)
    elif recipe.method == "dropblock":
        shape = dataset.preprocess
        objective = DropBlock(
            network,
            recipe.dropblock or DropBlockConfig(),
            torch.zeros(1, shape.channels, shape.resolution, shape.resolution),
            total_steps=total,
            label_smoothing=smoothing,
        )
        arm = Arm(network, objective)
    elif recipe.method in (None, "vanilla"):
        arm = Arm(network, CrossEntropy(smoothing))
    else:
        arm = Arm(network, prepare_distillation(recipe, dataset, run_dir, device, total, world))
    if recipe.route and store is not None and world.writes:
        steps = route_steps(total, recipe.route)[:-1]
        arm.objective = RouteRecorder(arm.objective, store.directory, steps)
    seed_everything(recipe.seed)  # however many weights the method drew
    return arm


def prepare_boosted(
    recipe: Recipe, dataset: Dataset, run_dir: Path, device: torch.device, world: World = ALONE
) -> Arm:
    """The arm that trains a giant; arguments and errors are those of :func:`prepare_plain`."""
    giant = build_giant(recipe, dataset)
    if recipe.transfer is not None:
        classes = len(dataset.labels)
        start_transferred_giant(giant, recipe.transfer.source, run_dir, classes, world)
    objective: Objective = CrossEntropy(recipe.train.label_smoothing)
    if recipe.method == "netbooster-kd":
        total = total_steps(recipe, dataset)
        objective = prepare_distillation(recipe, dataset, run_dir, device, total, world)
    seed_everything(recipe.seed)  # however many weights loading drew
    return Arm(giant, objective)


def prepare_distillation(
    recipe: Recipe,
    dataset: Dataset,
    run_dir: Path,
    device: torch.device,
    steps: int,
    world: World = ALONE,
) -> Objective:
    """The objective of a method that distils, its teacher loaded onto ``device``.

    Args:
        steps: of the student's training.
    """
    settings = _distillation(recipe)
    smoothing = recipe.train.label_smoothing
    if recipe.method == "tf-kd":
        return TeacherFree(
            weight=settings.weight,
            temperature=settings.temperature,
            correct_prob=settings.correct_prob,
            label_smoothing=smoothing,
        )
    teacher_recipe = teacher_of(recipe)
    folder = folder_beside(run_dir, teacher_recipe) / teacher_recipe.arm
    path = folder / "contracted.pt"
    teacher, meta = load_contracted(path, world)
    if meta["labels"] != list(dataset.labels):
        raise NetBoosterError(
            f"{path}: the teacher knows other classes than data set {dataset.name}; name a "
            "teacher's recipe with the same classes"
        )
    own, theirs = dataset.preprocess, meta["preprocess"]
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
        _load_route(folder, meta["steps"], teacher_recipe.route, teacher, world),
        total_steps=steps,
        weight=settings.weight,
        temperature=settings.temperature,
        label_smoothing=smoothing,
        resolution=theirs["resolution"],
    )


def start_transferred_giant(
    giant: nn.Module, source: Recipe, run_dir: Path, classes: int, world: World = ALONE
) -> None:
    """Give a target's giant the weights of the source's, but for the classifier."""
    path = folder_beside(run_dir, source) / "boosted" / "giant.pt"
    _take_features(giant, load_giant(path, world)[0], path, classes)


def teacher_of(recipe: Recipe) -> Recipe:
    """The teacher's recipe of a method that has one."""
    teacher = _distillation(recipe).teacher
    assert teacher is not None  # checked when the recipe was read
    return teacher


def folder_beside(run_dir: Path, recipe: Recipe) -> Path:
    """The run folder of a recipe that the one in ``run_dir`` builds on."""
    return run_dir.parent / recipe.name


def _netaug(recipe: Recipe, dataset: Dataset, network: nn.Module, device: torch.device) -> Arm:
    config = recipe.netaug or NetAugConfig()
    objective = NetAugLoss(
        config,
        seed=recipe.seed,
        total_steps=total_steps(recipe, dataset),
        epoch_steps=round(dataset.split_size("train") / recipe.train.batch_size),
        label_smoothing=recipe.train.label_smoothing,
    )

    def cut_out(wide: nn.Module) -> nn.Module:
        assert isinstance(wide, NetAugNetwork)
        base = wide.export().to(device)
        measure_bn(base, dataset, config.bn_images, device)
        return base

    return Arm(NetAugNetwork(network, config), objective, cut_out)


def _rocket_launch(recipe: Recipe, dataset: Dataset, network: nn.Module) -> Arm:
    booster = build_model(
        teacher_of(recipe).model.name,
        num_classes=len(dataset.labels),
        resolution=dataset.preprocess.resolution,
        channels=dataset.preprocess.channels,
    )
    objective = RocketLaunch(
        hint_weight=_distillation(recipe).hint_weight,
        label_smoothing=recipe.train.label_smoothing,
    )

    def take_light(both: nn.Module) -> nn.Module:
        assert isinstance(both, RocketNetworks)
        return both.light

    return Arm(RocketNetworks(network, booster), objective, take_light)


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
    folder: Path, total: int, points: int, teacher: nn.Module, world: World
) -> list[dict[str, Tensor]]:
    """Weights along the teacher's training; the last are those of the finished ``teacher``."""
    steps = route_steps(total, points)[:-1]
    route: list[dict[str, Tensor]] = on_writer(
        world,
        lambda: [load_torch(route_file(folder, step), _REMEDY)["state_dict"] for step in steps],
    )
    return [*route, {name: t.clone() for name, t in teacher.state_dict().items()}]


def _distillation(recipe: Recipe) -> DistillationConfig:
    return recipe.distillation or DistillationConfig()
