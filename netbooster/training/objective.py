# SPDX-License-Identifier: Apache-2.0
"""What a training step minimizes. Most methods differ from vanilla training here alone."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

from torch import Tensor, nn

from netbooster.training.checkpoint import FORMAT, copies, portable_state, save_torch
from netbooster.training.task import Outputs

Loss = Callable[[Outputs, Tensor], Tensor]
"""A task's loss of outputs and targets, a scalar."""


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
        self, model: nn.Module, inputs: Tensor, targets: Tensor, step: int
    ) -> tuple[Tensor, Outputs]:
        """Run the network forward.

        Args:
            model: in training mode.
            inputs: normalized images [N, C, H, W].
            targets: what the task asks for, the first axis the image.
            step: optimizer steps done so far, through all phases.

        Returns:
            The loss to minimize, a scalar, and the outputs that the score shown while training
            runs is counted from.
        """


class TaskLoss(Objective):
    """The task's own loss and nothing else."""

    def __init__(self, loss: Loss) -> None:
        self.loss = loss

    def __call__(
        self, model: nn.Module, inputs: Tensor, targets: Tensor, step: int
    ) -> tuple[Tensor, Outputs]:
        outputs = model(inputs)
        return self.loss(outputs, targets), outputs


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
        self, model: nn.Module, inputs: Tensor, targets: Tensor, step: int
    ) -> tuple[Tensor, Outputs]:
        return self.objective(model, inputs, targets, step)


def route_steps(total: int, points: int) -> list[int]:
    """Steps after which the weights are kept: evenly spaced, the last of them ``total``."""
    before = [round(total * (point + 1) / points) for point in range(points - 1)]
    return [*(min(step, total - 1) for step in before), total]


def route_file(folder: Path, step: int) -> Path:
    """Where the weights after ``step`` steps are kept, below a run's folder."""
    return folder / "route" / f"step-{step:08d}.pt"
