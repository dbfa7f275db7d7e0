# SPDX-License-Identifier: Apache-2.0
"""A finished run, opened: its network, and what the network says of images."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from netbooster.common.errors import NetBoosterError
from netbooster.data import Preprocess
from netbooster.data.transforms import decode, evaluation_transform, to_array
from netbooster.experiment.run import check_layout
from netbooster.tasks import Task, load_task
from netbooster.training import networks
from netbooster.training.checkpoint import load_torch
from netbooster.training.networks import FINISHED

ImageLike = str | Path | Image.Image | np.ndarray | Tensor


@dataclass(frozen=True)
class TrainedNetwork:
    """A finished network with what has to travel beside it."""

    network: nn.Module
    """In eval mode on the CPU; takes normalized images, float32 [N, C, H, W]."""
    task: Task
    labels: list[str]
    preprocess: Preprocess
    accuracy: dict[str, float]
    """The task's score (0..1) by split, as it was measured when the training ended."""
    meta: dict[str, Any]
    """Everything else that the run says of it: method, steps, hashes, contraction error."""

    @overload
    def predict(self, image: ImageLike) -> Any: ...
    @overload
    def predict(self, image: Sequence[ImageLike]) -> list[Any]: ...
    def predict(self, image: ImageLike | Sequence[ImageLike]) -> Any:
        """What the network says of an image of any size, or of each of several.

        Args:
            image: path of a file, Pillow image, or pixels 0..255 (uint8): [H, W], [H, W, C]
                with C 1 or 3, as Pillow and NumPy have them. Images are prepared as those
                of the evaluation were.

        Returns:
            What the task makes of it; for classification
            :class:`netbooster.tasks.ClassPrediction`, with ``label``, ``score`` and ``scores``.

        Raises:
            NetBoosterError: a file that cannot be read, or pixels of another shape or type.
        """
        single = isinstance(image, str | Path | Image.Image | np.ndarray | Tensor)
        images = [image] if single else list(image)  # type: ignore[arg-type]
        if not images:
            return []
        pixels = np.stack([self._prepared(item) for item in images])  # type: ignore[arg-type]
        with torch.inference_mode():
            outputs = self.network(self.preprocess.normalize(torch.from_numpy(pixels)))
        answers = self.task.decode(outputs, self.labels)
        return answers[0] if single else answers

    def _prepared(self, image: ImageLike) -> np.ndarray:
        channels = self.preprocess.channels
        if isinstance(image, str | Path):
            picture = decode(Path(image), channels)
        else:
            if not isinstance(image, Image.Image):
                image = _from_pixels(np.asarray(image))
            picture = image.convert("L" if channels == 1 else "RGB")
        return to_array(evaluation_transform(self.preprocess)(picture))


def load(folder: str | Path) -> TrainedNetwork:
    """The finished network of a run.

    Args:
        folder: what :func:`netbooster.train` returned, or a ``contracted.pt``.

    Raises:
        NetBoosterError: no run, not finished, or damaged.
    """
    path = Path(folder)
    if path.is_dir():
        check_layout(path)
        runs = sorted(run.parent.name for run in path.glob(f"*/{FINISHED}"))
        if runs and not (path / FINISHED).is_file():
            raise NetBoosterError(
                f"{path}: holds several runs ({', '.join(runs)}); name one, such as "
                f"{path / ('selected' if 'selected' in runs else runs[-1])}"
            )
        path = path / FINISHED
    meta = load_torch(path, "train the run to its end with `netbooster train`")
    task = load_task(meta["task"])
    network, meta = networks.load_contracted(path, task)
    return TrainedNetwork(
        network=network,
        task=task,
        labels=list(meta["labels"]),
        preprocess=Preprocess.from_dict(meta["preprocess"]),
        accuracy=dict(meta[task.metric]),
        meta=meta,
    )


def _from_pixels(pixels: np.ndarray) -> Image.Image:
    squeezed = pixels[..., 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels
    if (
        pixels.dtype != np.uint8
        or squeezed.ndim not in (2, 3)
        or squeezed.shape[2:]
        not in (
            (),
            (3,),
        )
    ):
        raise NetBoosterError(
            f"image of shape {pixels.shape} and type {pixels.dtype}: give pixels 0..255 as uint8, "
            "[height, width] or [height, width, channels] with 1 or 3 channels"
        )
    return Image.fromarray(squeezed)
