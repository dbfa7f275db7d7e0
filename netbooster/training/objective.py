"""What a training step minimizes. Baselines differ from vanilla training here and nowhere else."""

from abc import ABC, abstractmethod
from pathlib import Path

import torch.nn.functional as F
from torch import Tensor, nn

from netbooster.training.checkpoint import FORMAT, copies, portable_state, save_torch


class Objective(ABC):
    """Loss of one batch. Keeps no state of its own that a resumed run would miss."""

    def begin_step(  # noqa: B027 - most have nothing to do
        self, model: nn.Module, step: int, average: dict[str, Tensor] | None
    ) -> None:
        """What comes once before an optimizer step, however many parts its batch has.

        Args:
            model: the network itself, not what wraps it for many processes.
            step: optimizer steps done so far, through all phases.
            average: the ``state_dict`` of the moving average of the weights, where there is one;
                who moves weights moves those as well.
        """

    @abstractmethod
    def __call__(
        self, model: nn.Module, inputs: Tensor, labels: Tensor, step: int
    ) -> tuple[Tensor, Tensor]:
        """Run the network forward.

        Args:
            model: in training mode.
            inputs: normalized images [N, C, H, W].
            labels: int64 [N].
            step: optimizer steps done so far, through all phases.

        Returns:
            The loss to minimize, a scalar, and the logits [N, classes] that training accuracy is
            counted from.
        """


class CrossEntropy(Objective):
    """Vanilla training."""

    def __init__(self, label_smoothing: float) -> None:
        self.label_smoothing = label_smoothing

    def __call__(
        self, model: nn.Module, inputs: Tensor, labels: Tensor, step: int
    ) -> tuple[Tensor, Tensor]:
        logits = model(inputs)
        return F.cross_entropy(logits, labels, label_smoothing=self.label_smoothing), logits


class RouteRecorder(Objective):
    """Another objective, beside which the weights at given steps are kept in files.

    The weights after all steps are not kept here: they are the finished network.
    """

    def __init__(self, objective: Objective, folder: Path, steps: list[int]) -> None:
        self.objective = objective
        self.folder = folder
        self.steps = steps

    def begin_step(self, model: nn.Module, step: int, average: dict[str, Tensor] | None) -> None:
        if step in self.steps:
            state = portable_state(model) if average is None else copies(average)
            content = {"format": FORMAT, "step": step, "state_dict": state}
            save_torch(route_file(self.folder, step), content)
        self.objective.begin_step(model, step, average)

    def __call__(
        self, model: nn.Module, inputs: Tensor, labels: Tensor, step: int
    ) -> tuple[Tensor, Tensor]:
        return self.objective(model, inputs, labels, step)


def route_steps(total: int, points: int) -> list[int]:
    """Steps after which the weights are kept: evenly spaced, the last of them ``total``."""
    before = [round(total * (point + 1) / points) for point in range(points - 1)]
    return [*(min(step, total - 1) for step in before), total]


def route_file(folder: Path, step: int) -> Path:
    """Where the weights after ``step`` steps are kept, below an arm's folder."""
    return folder / "route" / f"step-{step:08d}.pt"
