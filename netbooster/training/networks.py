# SPDX-License-Identifier: Apache-2.0
"""Networks on disk: what a finished training, or a giant before its PLT, leaves for others."""

from pathlib import Path
from typing import Any

from torch import nn

from netbooster.common.seeds import seed_everything
from netbooster.data import Dataset, Preprocess
from netbooster.giant.contraction import enlarge_kernels
from netbooster.giant.expansion import ExpansionConfig, expand
from netbooster.training.checkpoint import (
    FORMAT,
    load_state,
    load_torch,
    portable_state,
    save_torch,
    state_digest,
)
from netbooster.training.distributed import World, on_writer
from netbooster.training.task import Task

ALONE = World()
FINISHED, GIANT = "contracted.pt", "giant.pt"
"""Files of a run: its network in the end, and the giant at the end of its own phase."""
_REMEDY = "run `netbooster train` again"


def build_network(name: str, dataset: Dataset, task: Task, seed: int) -> nn.Module:
    """A network for a data set, freshly initialized from ``seed``: every method's start."""
    seed_everything(seed)
    return task.build(name, dataset.labels, dataset.preprocess)


def save_network(
    path: Path,
    model: nn.Module,
    *,
    network: str,
    dataset: Dataset,
    task: Task,
    hashes: dict[str, str],
    **extra: Any,
) -> None:
    """Write a network with its labels, preprocessing and the hashes of everything before it.

    Args:
        network: the name that :func:`build_network` takes.
        hashes: ``recipe``, and ``giant`` for a contracted network.
        extra: further entries, plain values; ``expansion`` makes it a giant for
            :func:`load_giant`.

    Raises:
        NetBoosterError: the disk is full.
    """
    state = portable_state(model)
    digests = {"data": dataset.fingerprint(), "checkpoint": state_digest(state)}
    content = {
        "format": FORMAT,
        "task": task.name,
        "model": network,
        "labels": list(dataset.labels),
        "preprocess": dataset.preprocess.to_dict(),
        "state_dict": state,
        "hashes": hashes | digests,
        **extra,
    }
    save_torch(path, content)


def load_contracted(
    path: Path, task: Task, world: World = ALONE
) -> tuple[nn.Module, dict[str, Any]]:
    """A finished network in eval mode on the CPU, and everything else that its file holds.

    Args:
        path: ``contracted.pt`` of a run.
        task: the one that it was trained for.
        world: the processes that load it together; rank 0 reads the file.

    Raises:
        NetBoosterError: missing, damaged, or not the network that it names.
    """
    meta: dict[str, Any] = on_writer(world, lambda: load_torch(path, _REMEDY))
    model = _network(meta, task)
    enlarge_kernels(model, meta.get("enlarged_kernels", {}))
    load_state(model, meta.pop("state_dict"), path, _REMEDY)
    return model.eval(), meta


def load_giant(path: Path, task: Task, world: World = ALONE) -> tuple[nn.Module, dict[str, Any]]:
    """``giant.pt`` as an expanded network (alpha 0) in eval mode, and its other entries.

    Arguments and errors are those of :func:`load_contracted`.
    """
    meta: dict[str, Any] = on_writer(world, lambda: load_torch(path, _REMEDY))
    config = ExpansionConfig.model_validate(meta["expansion"])
    example = Preprocess.from_dict(meta["preprocess"]).example()
    model = expand(_network(meta, task), config, example_input=example)
    load_state(model, meta.pop("state_dict"), path, _REMEDY)
    return model.eval(), meta


def _network(meta: dict[str, Any], task: Task) -> nn.Module:
    return task.build(meta["model"], meta["labels"], Preprocess.from_dict(meta["preprocess"]))
