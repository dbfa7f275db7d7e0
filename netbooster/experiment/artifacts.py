"""The files of a run that training leaves and later stages read, and the networks inside them."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from netbooster.common.errors import NetBoosterError
from netbooster.common.seeds import seed_everything
from netbooster.data import Dataset
from netbooster.experiment.recipe import Recipe, save_recipe
from netbooster.giant.contraction import enlarge_kernels
from netbooster.giant.expansion import ExpansionConfig, expand
from netbooster.models import build_model
from netbooster.training.checkpoint import (
    FORMAT,
    RunStore,
    load_state,
    load_torch,
    portable_state,
    save_torch,
    state_digest,
)
from netbooster.training.distributed import World, on_writer

ALONE = World()


def build_network(recipe: Recipe, dataset: Dataset) -> nn.Module:
    """The recipe's network, freshly initialized from its seed; both arms start from it."""
    seed_everything(recipe.seed)
    return build_model(
        recipe.model.name,
        num_classes=len(dataset.labels),
        resolution=dataset.preprocess.resolution,
        channels=dataset.preprocess.channels,
    )


def build_giant(recipe: Recipe, dataset: Dataset) -> nn.Module:
    """The expanded network, freshly initialized."""
    shape = dataset.preprocess
    example = torch.zeros(1, shape.channels, shape.resolution, shape.resolution)
    network = build_network(recipe, dataset)
    return expand(network, recipe.netbooster.expansion, example_input=example)


def load_contracted(path: Path, world: World = ALONE) -> tuple[nn.Module, dict[str, Any]]:
    """A finished network in eval mode on the CPU, and everything else that its file holds.

    Args:
        path: ``vanilla/contracted.pt`` or ``boosted/contracted.pt``.
        world: the processes that load it together; rank 0 reads the file.

    Raises:
        NetBoosterError: missing, damaged, or not the network that it names.
    """
    remedy = "run `netbooster train` and `netbooster contract` again"
    meta: dict[str, Any] = on_writer(world, lambda: load_torch(path, remedy))
    model = _network(meta)
    enlarge_kernels(model, meta.get("enlarged_kernels", {}))
    load_state(model, meta.pop("state_dict"), path, remedy)
    return model.eval(), meta


def load_giant(path: Path, world: World = ALONE) -> tuple[nn.Module, dict[str, Any]]:
    """``giant.pt`` as an expanded network (alpha 0) in eval mode, and its other entries.

    Arguments and errors are those of :func:`load_contracted`.
    """
    remedy = "run `netbooster train` again"
    meta: dict[str, Any] = on_writer(world, lambda: load_torch(path, remedy))
    config = ExpansionConfig.model_validate(meta["expansion"])
    shape = meta["preprocess"]
    example = torch.zeros(1, shape["channels"], shape["resolution"], shape["resolution"])
    model = expand(_network(meta), config, example_input=example)
    load_state(model, meta.pop("state_dict"), path, remedy)
    return model.eval(), meta


def total_steps(recipe: Recipe, dataset: Dataset) -> int:
    """Optimizer steps of one arm."""
    return recipe.total_steps(dataset.split_size("train"))


def open_store(
    recipe: Recipe, dataset: Dataset, run_dir: Path, arm: str, world: World = ALONE
) -> RunStore:
    """The arm's store, once its checkpoint is known to be of this recipe; writes the recipe.

    Raises:
        NetBoosterError: the checkpoint is damaged or of another recipe.
    """
    identity = recipe.identity(arm, dataset.fingerprint())
    store = RunStore(run_dir / arm, identity, read_only=not world.writes)

    def prepare() -> None:
        if store.checkpoint_path.is_file():
            store.read()
        save_recipe(recipe, run_dir)

    on_writer(world, prepare)
    return store


def is_finished(
    path: Path,
    store: RunStore,
    recipe: Recipe,
    dataset: Dataset,
    arm: str,
    *,
    giant_digest: str = "",
    world: World = ALONE,
) -> bool:
    """Whether ``path`` holds what this stage would write.

    Args:
        giant_digest: the giant that a contracted network must come from; empty: any.

    Raises:
        NetBoosterError: it is damaged or of another recipe.
    """

    def look() -> bool:
        if not path.is_file():
            return False
        hashes = load_torch(path, store.remedy)["hashes"]
        if hashes["recipe"] != recipe.digest(arm, dataset.fingerprint()):
            raise NetBoosterError(f"{path}: was trained by another recipe; {store.remedy}")
        return not giant_digest or bool(hashes["giant"] == giant_digest)

    finished: bool = on_writer(world, look)
    return finished


def save_network(
    path: Path,
    model: nn.Module,
    recipe: Recipe,
    dataset: Dataset,
    arm: str,
    extra: dict[str, Any],
    *,
    giant_digest: str = "",
) -> None:
    """Write a network with its labels, preprocessing and the hashes of everything before it.

    Raises:
        NetBoosterError: the disk is full.
    """
    state: dict[str, Tensor] = portable_state(model)
    hashes = {
        "recipe": recipe.digest(arm, dataset.fingerprint()),
        "data": dataset.fingerprint(),
        "checkpoint": state_digest(state),
    }
    if giant_digest:
        hashes["giant"] = giant_digest
    save_torch(
        path,
        {
            "format": FORMAT,
            "arm": arm,
            "model": recipe.model.name,
            "num_classes": len(dataset.labels),
            "labels": list(dataset.labels),
            "preprocess": dataset.preprocess.to_dict(),
            "steps": total_steps(recipe, dataset),
            "state_dict": state,
            "hashes": hashes,
            **extra,
        },
    )


def percents(accuracy: dict[str, float]) -> str:
    """Accuracies by split as a person reads them."""
    return ", ".join(f"{split} {share:.2%}" for split, share in accuracy.items()) + " accuracy"


def _network(meta: dict[str, Any]) -> nn.Module:
    return build_model(
        meta["model"],
        num_classes=meta["num_classes"],
        resolution=meta["preprocess"]["resolution"],
        channels=meta["preprocess"]["channels"],
    )
