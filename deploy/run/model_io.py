# SPDX-License-Identifier: Apache-2.0
"""Trained networks and data sets, as the toolchain needs them.

The only module of this package, beside the command line, that knows `netbooster`.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from deploy.core.errors import DeployError
from deploy.quantize import quantize_network
from netbooster.common.budget import measure_budget
from netbooster.data import Dataset, Preprocess
from netbooster.experiment.recipe import Recipe
from netbooster.experiment.trained import load
from netbooster.methods import find_method
from netbooster.models import build_model
from netbooster.models.mobilenet_v2 import MobileNetV2
from netbooster.quantize.fine_tuning import fine_tune_file


@dataclass(frozen=True)
class TrainedModel:
    """A network in its original form, with what has to travel beside it."""

    module: nn.Module
    network: str
    labels: list[str]
    preprocess: Preprocess
    accuracy: dict[str, float]
    meta: dict[str, Any]


def load_model(path: Path) -> TrainedModel:
    """The network in a `contracted.pt`.

    Raises:
        NetBoosterError: not such a file.
    """
    trained = load(path)
    return TrainedModel(
        module=trained.network,
        network=trained.meta["model"],
        labels=trained.labels,
        preprocess=trained.preprocess,
        accuracy=trained.accuracy,
        meta=trained.meta,
    )


def summarize(model: TrainedModel, recipe: Recipe) -> dict[str, Any]:
    """Budget and training figures of a model, for the report."""
    shape = (1, model.preprocess.channels, model.preprocess.resolution, model.preprocess.resolution)
    budget = asdict(measure_budget(model.module, shape))
    state = model.module.state_dict()
    steps = {"total": model.meta["steps"]}
    phases = find_method(model.meta["method"]).phases(recipe, steps["total"])
    if len(phases) > 1:
        steps |= {phase.name: phase.steps for phase in phases}
    return {
        "network": model.network,
        "parameters": budget["parameters"],
        "bn_parameters": budget["bn_parameters"],
        "macs": budget["macs"],
        "tensor_shapes": [[name, list(shape)] for name, shape in budget["tensor_shapes"]],
        "state_shapes": [[key, list(value.shape)] for key, value in state.items()],
        "accuracy": model.accuracy,
        "giant_accuracy": model.meta.get("giant_accuracy"),
        "contraction_error": model.meta.get("contraction_error"),
        "steps": steps,
    }


def untrained_flatbuffer(
    name: str, *, resolution: int, classes: int, channels: int, width: float | None = None
) -> bytes:
    """A network with random weights as int8 .tflite: memory and time do not depend on weights.

    Args:
        width: a MobileNetV2 of this width takes the named network's place.

    Raises:
        NetBoosterError: unknown name, or a resolution below the total stride.
    """
    torch.manual_seed(0)
    if width is None:
        module = build_model(name, num_classes=classes, resolution=resolution, channels=channels)
    else:
        module = MobileNetV2(
            width=width,
            num_classes=classes,
            resolution=resolution,
            channels=channels,
            scale_head=name == "mobilenetv2-tiny",
        )
    generator = np.random.default_rng(0)
    codes = generator.integers(-128, 128, (2, channels, resolution, resolution))
    images = codes.astype(np.float32) / 128
    # Batch norms that know their inputs keep activations from vanishing through the layers.
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = None
    with torch.no_grad():
        module.train()(torch.from_numpy(images))
    return quantize_network(module.eval(), images).flatbuffer


def input_quantization(preprocess: Preprocess) -> tuple[float, int]:
    """Scale and zero point with which the int8 input is the pixel less 128, without rounding.

    Raises:
        DeployError: the preprocessing differs by channel or its mean is no whole pixel value.
    """
    means, stds = set(preprocess.mean), set(preprocess.std)
    mean = preprocess.mean[0]
    if len(means) > 1 or len(stds) > 1 or mean != int(mean) or not 0 <= mean <= 255:
        raise DeployError(
            f"preprocessing with mean {preprocess.mean} and std {preprocess.std} has no exact int8 "
            "input; use one whole pixel value as mean and one std for all channels, such as 128"
        )
    return 1.0 / preprocess.std[0], int(mean) - 128


def to_int8(images: torch.Tensor) -> np.ndarray:
    """Device input: uint8 [N, C, H, W] to int8 [N, H, W, C], the pixel less 128."""
    pixels = images.cpu().numpy().transpose(0, 2, 3, 1)
    return np.ascontiguousarray((pixels.astype(np.int16) - 128).astype(np.int8))


def calibration_images(dataset: Dataset, samples: int) -> np.ndarray:
    """A fixed draw of training images, normalized: float32 [samples, C, H, W]."""
    batches = [
        dataset.preprocess.normalize(images) for images, _ in dataset.split("train", limit=samples)
    ]
    return torch.cat(batches)[:samples].numpy()


def validation_batches(
    dataset: Dataset, limit: int | None = None
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Validation images: (normalized float32 [N, C, H, W], device input int8, labels [N])."""
    for images, labels in dataset.split("val", limit=limit):
        yield dataset.preprocess.normalize(images).numpy(), to_int8(images), labels.numpy()


def fine_tuned(
    path: Path, network: nn.Module, dataset: Dataset, recipe: Recipe, samples: int, device: str
) -> tuple[nn.Module, dict[str, tuple[float, int]]]:
    """The network after quantization-aware fine-tuning, and the scales of its activations.

    Kept in ``path``; done again where network, data or settings changed.
    """
    quantization = recipe.quantization.model_copy(update={"calibration_samples": samples})
    recipe = recipe.model_copy(update={"quantization": quantization})
    tuned = fine_tune_file(path, network, dataset, recipe, device=device)
    return tuned.network, tuned.activations


def test_batches(
    dataset: Dataset, limit: int | None = None
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Test images: (pixels uint8 [N, C, H, W], device input int8 [N, H, W, C], labels [N])."""
    for images, labels in dataset.split("test", limit=limit):
        yield images.numpy(), to_int8(images), labels.numpy()


def int8_accuracy(
    invoke: Callable[[np.ndarray], np.ndarray], dataset: Dataset
) -> tuple[float, int]:
    """Accuracy over the whole test set of a function from int8 images to int8 logits."""
    correct = total = 0
    for _, inputs, labels in test_batches(dataset):
        outputs = invoke(inputs).reshape(len(labels), -1)
        correct += int((outputs.argmax(axis=1) == labels).sum())
        total += len(labels)
    return correct / total, total
