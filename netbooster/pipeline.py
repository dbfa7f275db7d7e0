"""The training half of a run, stage by stage, from a recipe into a run folder.

``runs/<name>/`` gets ``recipe.toml`` (resolved) and a folder for each arm:

- ``vanilla/``: ``metrics.jsonl``, ``checkpoint.pt`` and the finished network, ``contracted.pt``;
- ``boosted/``: the same, with the giant at the end of its own phase as ``giant.pt``.

Both arms' ``contracted.pt`` have one format, so later stages treat them alike. A stage that finds
its own finished artifact skips itself with a line that says so; accuracies are shares, 0..1.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from netbooster.checkpoint import (
    FORMAT,
    RunStore,
    load_state,
    load_torch,
    portable_state,
    save_torch,
    state_digest,
)
from netbooster.contraction import (
    contract,
    contraction_error,
    enlarge_kernels,
    enlarged_kernels,
)
from netbooster.data import Dataset, load_dataset
from netbooster.distributed import World, barrier, open_device
from netbooster.errors import NetBoosterError
from netbooster.evaluate import evaluate_splits
from netbooster.expansion import ExpansionConfig, expand
from netbooster.models import build_model
from netbooster.progress import Reporter
from netbooster.recipe import Recipe, save_recipe
from netbooster.train import (
    Phase,
    Trainer,
    netbooster_phases,
    reproducible,
    seed_everything,
    vanilla_phases,
)

if TYPE_CHECKING:
    from rich.console import Console

MAX_CONTRACTION_ERROR = 1e-4
"""Largest relative difference between the linearized giant and the contracted network."""
CONTRACTION_IMAGES = 64
"""Validation images on which that difference is measured."""


def train_vanilla(
    recipe: Recipe, run_dir: Path, *, device: str = "cpu", console: "Console | None" = None
) -> Path:
    """Train the baseline; resumes after a kill.

    Args:
        recipe: what to train.
        run_dir: the run folder, ``runs/<name>``.
        device: ``"cpu"`` or ``"cuda"``.
        console: where progress is shown; None is silent.

    Returns:
        ``vanilla/contracted.pt``.

    Raises:
        NetBoosterError: the folder belongs to another recipe, the loss is not finite, the disk is
            full.
    """
    dataset, target, world = load_dataset(recipe.data), *open_device(device)
    reporter = Reporter(console if world.writes else None)
    store = _open_store(recipe, dataset, run_dir, "vanilla", world)
    path = store.directory / "contracted.pt"
    if _is_finished(path, store, recipe, dataset, "vanilla"):
        reporter.say(f"vanilla: finished, skipped ({path})")
        barrier(world)
        return path
    with reproducible(target, recipe.train.threads):
        model = fit_vanilla(
            recipe, dataset, device=target, store=store, reporter=reporter, world=world
        )
        if world.writes:
            accuracy = evaluate_splits(model, dataset, device=target)
            _save_network(path, model, recipe, dataset, "vanilla", {"accuracy": accuracy})
            reporter.say(f"vanilla: {_percents(accuracy)} -> {path}")
    barrier(world)
    return path


def train_netbooster(
    recipe: Recipe, run_dir: Path, *, device: str = "cpu", console: "Console | None" = None
) -> Path:
    """Expand, train the giant, linearize it (PLT); resumes after a kill.

    Writes ``boosted/giant.pt`` when the giant's phase ends. Arguments and errors are those of
    :func:`train_vanilla`.

    Returns:
        ``boosted/checkpoint.pt``, from which :func:`contract_run` goes on.
    """
    dataset, target, world = load_dataset(recipe.data), *open_device(device)
    reporter = Reporter(console if world.writes else None)
    store = _open_store(recipe, dataset, run_dir, "boosted", world)

    def save_giant(giant: nn.Module) -> None:
        accuracy = evaluate_splits(giant, dataset, device=target)
        path = store.directory / "giant.pt"
        extra = {
            "accuracy": accuracy,
            "expansion": recipe.netbooster.expansion.model_dump(mode="json"),
        }
        _save_network(path, giant, recipe, dataset, "boosted", extra)
        reporter.say(f"giant: {_percents(accuracy)} -> {path}")

    with reproducible(target, recipe.train.threads):
        fit_netbooster(
            recipe,
            dataset,
            device=target,
            store=store,
            reporter=reporter,
            world=world,
            on_giant=save_giant if world.writes else None,
        )
    barrier(world)
    return store.checkpoint_path


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
    reporter = Reporter(console)
    dataset, target = load_dataset(recipe.data), open_device(device)[0]
    store = _open_store(recipe, dataset, run_dir, "boosted", World())
    path = store.directory / "contracted.pt"
    state = load_torch(store.checkpoint_path, "run `netbooster train` first")
    store.check_identity(state, store.checkpoint_path)
    end = netbooster_phases(recipe, _total_steps(recipe, dataset))[-1].end
    if state["step"] != end:
        raise NetBoosterError(
            f"{store.checkpoint_path}: training is at step {state['step']} of {end}; run "
            "`netbooster train` to its end before contracting"
        )
    giant = build_giant(recipe, dataset)
    weights = state["average"] or state["model"]
    load_state(giant, weights, store.checkpoint_path, store.remedy)
    if _is_finished(path, store, recipe, dataset, "boosted", state_digest(portable_state(giant))):
        reporter.say(f"contract: finished, skipped ({path})")
        return path
    with reproducible(target, recipe.train.threads):
        contracted, error = contract_checked(giant, dataset)
        accuracy = evaluate_splits(contracted.to(target), dataset, device=target)
    extra: dict[str, Any] = {"accuracy": accuracy, "contraction_error": error}
    if kernels := enlarged_kernels(giant):
        extra["enlarged_kernels"] = kernels
    giant_path = store.directory / "giant.pt"
    if giant_path.is_file():
        extra["giant_accuracy"] = load_torch(giant_path, store.remedy)["accuracy"]
    digest = state_digest(portable_state(giant))
    _save_network(path, contracted, recipe, dataset, "boosted", extra, digest)
    reporter.say(f"contract: relative error {error:.1e}, {_percents(accuracy)} -> {path}")
    return path


def load_contracted(path: Path) -> tuple[nn.Module, dict[str, Any]]:
    """A finished network in eval mode on the CPU, and everything else that its file holds.

    Args:
        path: ``vanilla/contracted.pt`` or ``boosted/contracted.pt``.

    Raises:
        NetBoosterError: missing, damaged, or not the network that it names.
    """
    remedy = "run `netbooster train` and `netbooster contract` again"
    meta = load_torch(path, remedy)
    model = _network(meta)
    enlarge_kernels(model, meta.get("enlarged_kernels", {}))
    load_state(model, meta.pop("state_dict"), path, remedy)
    return model.eval(), meta


def load_giant(path: Path) -> tuple[nn.Module, dict[str, Any]]:
    """``giant.pt`` as an expanded network (alpha 0) in eval mode, and its other entries."""
    remedy = "run `netbooster train` again"
    meta = load_torch(path, remedy)
    config = ExpansionConfig.model_validate(meta["expansion"])
    shape = meta["preprocess"]
    example = torch.zeros(1, shape["channels"], shape["resolution"], shape["resolution"])
    model = expand(_network(meta), config, example_input=example)
    load_state(model, meta.pop("state_dict"), path, remedy)
    return model.eval(), meta


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


def fit_vanilla(
    recipe: Recipe,
    dataset: Dataset,
    *,
    device: torch.device,
    store: RunStore | None = None,
    reporter: Reporter | None = None,
    world: World | None = None,
) -> nn.Module:
    """Train the baseline to its end, in memory where ``store`` is None; returns it."""
    phases = vanilla_phases(recipe, _total_steps(recipe, dataset))
    network = build_network(recipe, dataset)
    trainer = _trainer(network, recipe, dataset, device, store, reporter, world)
    trainer.resume()
    _run_phases(trainer, phases)
    return trainer.result()


def fit_netbooster(
    recipe: Recipe,
    dataset: Dataset,
    *,
    device: torch.device,
    store: RunStore | None = None,
    reporter: Reporter | None = None,
    world: World | None = None,
    on_giant: Callable[[nn.Module], None] | None = None,
) -> nn.Module:
    """Train giant and PLT to their end; returns the linearized giant.

    Args:
        on_giant: called with the giant at the end of its own phase (again after a kill there).
    """
    total = _total_steps(recipe, dataset)
    phases = netbooster_phases(recipe, total)
    # The comparison is only fair at equal optimizer steps.
    assert sum(phase.steps for phase in phases) == total
    giant = build_giant(recipe, dataset)
    trainer = _trainer(giant, recipe, dataset, device, store, reporter, world)
    trainer.resume()
    _run_phases(trainer, phases[:1])
    if on_giant is not None and trainer.step == phases[0].end:
        on_giant(trainer.result())
    _run_phases(trainer, phases[1:])
    return trainer.result()


def contract_checked(giant: nn.Module, dataset: Dataset) -> tuple[nn.Module, float]:
    """The contracted network, and its largest relative difference from the linearized giant.

    Both are compared in eval mode on validation images.

    Raises:
        NetBoosterError: a layer cannot be merged, or the difference exceeds 1e-4.
    """
    giant = giant.cpu().eval()
    contracted = contract(giant).eval()
    images, _ = next(iter(dataset.split("val", limit=CONTRACTION_IMAGES)))
    error = contraction_error(giant, contracted, dataset.preprocess.normalize(images.cpu()))
    if not error <= MAX_CONTRACTION_ERROR:  # also refuses nan
        raise NetBoosterError(
            f"contracted network {dataset.name}: differs from the linearized giant by {error:.1e} "
            f"relative, more than {MAX_CONTRACTION_ERROR:g}: it amplifies rounding; train longer "
            "(train.steps), on larger batches or with a lower netbooster.plt_lr"
        )
    return contracted, error


def _run_phases(trainer: Trainer, phases: list[Phase]) -> None:
    for phase in phases:
        trainer.train_steps(phase)


def _trainer(
    model: nn.Module,
    recipe: Recipe,
    dataset: Dataset,
    device: torch.device,
    store: RunStore | None,
    reporter: Reporter | None,
    world: World | None,
) -> Trainer:
    return Trainer(
        model,
        dataset,
        recipe.train,
        seed=recipe.seed,
        device=device,
        store=store,
        reporter=reporter,
        world=world,
    )


def _total_steps(recipe: Recipe, dataset: Dataset) -> int:
    return recipe.total_steps(dataset.split_size("train"))


def _open_store(
    recipe: Recipe, dataset: Dataset, run_dir: Path, arm: str, world: World
) -> RunStore:
    """The arm's store, once its checkpoint is known to be of this recipe."""
    identity = recipe.identity(arm, dataset.fingerprint())
    store = RunStore(run_dir / arm, identity, read_only=not world.writes)
    if store.checkpoint_path.is_file():
        state = load_torch(store.checkpoint_path, store.remedy)
        store.check_identity(state, store.checkpoint_path)
    if world.writes:
        save_recipe(recipe, run_dir)
    return store


def _is_finished(
    path: Path, store: RunStore, recipe: Recipe, dataset: Dataset, arm: str, source: str = ""
) -> bool:
    """Whether ``path`` holds what this stage would write; another recipe's is refused."""
    if not path.is_file():
        return False
    hashes = load_torch(path, store.remedy)["hashes"]
    if hashes["recipe"] != recipe.digest(arm, dataset.fingerprint()):
        raise NetBoosterError(f"{path}: was trained by another recipe; {store.remedy}")
    return not source or hashes["giant"] == source


def _save_network(
    path: Path,
    model: nn.Module,
    recipe: Recipe,
    dataset: Dataset,
    arm: str,
    extra: dict[str, Any],
    giant_digest: str = "",
) -> None:
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
            "steps": _total_steps(recipe, dataset),
            "state_dict": state,
            "hashes": hashes,
            **extra,
        },
    )


def _network(meta: dict[str, Any]) -> nn.Module:
    return build_model(
        meta["model"],
        num_classes=meta["num_classes"],
        resolution=meta["preprocess"]["resolution"],
        channels=meta["preprocess"]["channels"],
    )


def _percents(accuracy: dict[str, float]) -> str:
    return ", ".join(f"{split} {share:.2%}" for split, share in accuracy.items()) + " accuracy"
