# SPDX-License-Identifier: Apache-2.0
"""Fine-tuning of a finished network with int8 arithmetic in its forward pass."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from netbooster.common.errors import NetBoosterError
from netbooster.common.seeds import reproducible
from netbooster.data import Dataset
from netbooster.experiment.recipe import Recipe
from netbooster.quantize.fake_quantization import QuantizedNetwork
from netbooster.tasks import load_task
from netbooster.training.checkpoint import (
    FORMAT,
    load_state,
    load_torch,
    portable_state,
    save_torch,
    state_digest,
)
from netbooster.training.optimizers import parameter_groups

_BATCH = 64
_STREAM = 2**20  # training batches start here: others than those of the float training


@dataclass(frozen=True)
class FineTuned:
    """``network`` in its original form; ``activations`` are scale and zero point by name."""

    network: nn.Module
    activations: dict[str, tuple[float, int]]


def fine_tune(
    network: nn.Module, dataset: Dataset, recipe: Recipe, *, device: str = "cpu"
) -> FineTuned:
    """Train ``network`` further as int8 sees it; it is not changed itself.

    Ranges start from the calibration images, follow the batches (moving average) in the first half
    of the steps and stand still in the second, so that the weights settle on the final grid.

    Raises:
        NetBoosterError: a layer has no int8 form, or the loss is not finite.
    """
    settings = recipe.quantization.fine_tuning
    steps = settings.steps or max(1, round(settings.share * _float_steps(recipe, dataset)))
    batch_size = settings.batch_size or recipe.train.batch_size
    preprocess = dataset.preprocess
    scale, zero_point = 1.0 / preprocess.std[0], int(preprocess.mean[0]) - 128
    with reproducible(torch.device(device), recipe.train.threads):
        model = QuantizedNetwork(network, input_scale=scale, input_zero_point=zero_point)
        model.to(device)
        with model.observing(), torch.no_grad():
            samples = recipe.quantization.calibration_samples
            for images, _ in dataset.split("train", limit=samples):
                model(preprocess.normalize(images.to(device)))
        _train(model, dataset, recipe, steps, batch_size, device)
    return FineTuned(model.network.cpu().eval(), model.activations())


def _train(
    model: QuantizedNetwork,
    dataset: Dataset,
    recipe: Recipe,
    steps: int,
    batch_size: int,
    device: str,
) -> None:
    settings = recipe.quantization.fine_tuning
    optimizer = torch.optim.SGD(
        parameter_groups(model.network, recipe.train.weight_decay),
        lr=settings.lr,
        momentum=recipe.train.momentum,
        nesterov=recipe.train.nesterov,
    )
    batches = dataset.train_batches(
        batch_size=batch_size, seed=recipe.seed, start_step=_STREAM, device=device
    )
    task = load_task(recipe.task)
    for step in range(steps):
        images, targets = next(batches)
        model.follow_ranges(2 * step < steps)
        for group in optimizer.param_groups:
            group["lr"] = settings.lr * 0.5 * (1 + math.cos(math.pi * step / steps))
        outputs = model(dataset.preprocess.normalize(images))
        loss = task.loss(outputs, targets, label_smoothing=recipe.train.label_smoothing)
        if not torch.isfinite(loss):
            raise NetBoosterError(
                f"fine-tuning: the loss is {loss.item()} at step {step}; lower "
                f"quantization.fine_tuning.lr (is {settings.lr:g})"
            )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    batches.close()
    model.follow_ranges(False)


def fine_tune_file(
    path: Path, network: nn.Module, dataset: Dataset, recipe: Recipe, *, device: str = "cpu"
) -> FineTuned:
    """:func:`fine_tune`, kept in ``path``: the same network, data and settings are not done twice.

    Raises:
        NetBoosterError: as :func:`fine_tune`; the file is damaged.
    """
    identity = {
        "network": state_digest(portable_state(network)),
        "data": dataset.fingerprint(),
        "seed": recipe.seed,
        "train": recipe.train.model_dump(mode="json", exclude_none=True),
        "quantization": {
            "calibration_samples": recipe.quantization.calibration_samples,
            "fine_tuning": recipe.quantization.fine_tuning.model_dump(mode="json"),
        },
    }
    if path.is_file():
        content = load_torch(path, f"delete {path} and quantize again")
        if content.get("identity") == identity:
            network = copy.deepcopy(network)
            load_state(network, content["state_dict"], path, f"delete {path} and quantize again")
            activations = {name: (float(s), int(z)) for name, (s, z) in content["scales"].items()}
            return FineTuned(network.eval(), activations)
    tuned = fine_tune(network, dataset, recipe, device=device)
    save_torch(
        path,
        {
            "format": FORMAT,
            "identity": identity,
            "state_dict": portable_state(tuned.network),
            "scales": {name: list(pair) for name, pair in tuned.activations.items()},
        },
    )
    return tuned


def _float_steps(recipe: Recipe, dataset: Dataset) -> int:
    return recipe.total_steps(dataset.split_size("train"))
