# SPDX-License-Identifier: Apache-2.0
"""DropBlock (Ghiasi et al., 2018): whole squares of feature maps are dropped in training.

The paper's Figure 1 shows that it harms tiny networks, which under-fit rather than over-fit.
"""

import math
from functools import partial

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from netbooster.common.errors import NetBoosterError
from netbooster.common.sections import Section
from netbooster.methods.base import Job, PlainMethod, register
from netbooster.training.objective import Loss, Objective, TaskLoss


class DropBlockConfig(Section):
    """DropBlock (Ghiasi et al., 2018).

    Attributes:
        drop_prob: share of a feature map's values that is dropped at the end of training; it
            rises evenly from 0.
        block_size: side of the dropped squares, in pixels of the feature map; smaller maps are
            dropped as a whole.
        from_stride: the outputs of all blocks whose total stride is at least this are dropped.
    """

    drop_prob: float = Field(default=0.1, gt=0, lt=1)
    block_size: int = Field(default=7, ge=1)
    from_stride: int = Field(default=16, ge=1)


def drop_blocks(x: Tensor, drop_prob: float, block_size: int) -> Tensor:
    """Zero random squares and scale the rest so that the mean stays.

    Args:
        x: [N, C, H, W].
        drop_prob: expected share of values to drop.
        block_size: side of a square in pixels, at most H and W.
    """
    height, width = x.shape[-2:]
    size = min(block_size, height, width)
    rows, columns = height - size + 1, width - size + 1
    seed_rate = drop_prob / size**2 * (height * width) / (rows * columns)
    # Seeds lie where a whole square fits.
    seeds = (torch.rand(*x.shape[:2], rows, columns, device=x.device) < seed_rate).to(x.dtype)
    margin = size - 1
    mask = 1 - F.max_pool2d(F.pad(seeds, (margin,) * 4), size, stride=1)
    return x * mask * (mask.numel() / mask.sum().clamp_min(1))


class DropBlockLoss(Objective):
    """A loss through a network whose late blocks are dropped from.

    The network itself is not changed: hooks do it, in training mode only.

    Args:
        model: with its blocks in ``model.blocks``, as MobileNetV2 and MCUNet have them.
        example_input: one batch of any size, to find each block's stride.

    Raises:
        NetBoosterError: no such blocks, or none of the asked stride.
    """

    def __init__(
        self,
        model: nn.Module,
        config: DropBlockConfig,
        example_input: Tensor,
        *,
        total_steps: int,
        loss: Loss,
    ) -> None:
        self.config = config
        self.total_steps = total_steps
        self.drop_prob = 0.0
        self._loss = TaskLoss(loss)
        for block in self._late_blocks(model, example_input):
            block.register_forward_hook(self._hook)

    def __call__(
        self, model: nn.Module, inputs: Tensor, targets: Tensor, step: int
    ) -> tuple[Tensor, Tensor]:
        self.drop_prob = self.config.drop_prob * min(1.0, step / self.total_steps)
        return self._loss(model, inputs, targets, step)

    def _hook(self, module: nn.Module, arguments: object, output: Tensor) -> Tensor:
        if not module.training or self.drop_prob == 0:
            return output
        return drop_blocks(output, self.drop_prob, self.config.block_size)

    def _late_blocks(self, model: nn.Module, example_input: Tensor) -> list[nn.Module]:
        blocks = getattr(model, "blocks", None)
        if not isinstance(blocks, nn.Sequential):
            raise NetBoosterError(
                f"{type(model).__name__} has no 'blocks', so DropBlock has no place in it; use a "
                "MobileNetV2 or MCUNet"
            )
        sides: dict[int, int] = {}

        def note(index: int, module: nn.Module, arguments: object, output: Tensor) -> None:
            sides[index] = output.shape[-1]

        handles = [b.register_forward_hook(partial(note, i)) for i, b in enumerate(blocks)]
        was_training = model.training
        try:
            with torch.no_grad():
                model.eval()(example_input)
        finally:
            model.train(was_training)
            for handle in handles:
                handle.remove()
        side = example_input.shape[-1]
        # Sides are rounded up: at 144 pixels stride 32 leaves 5, not 4.5.
        strides = {i: 2 ** round(math.log2(side / sides[i])) for i in sides}
        late = [b for i, b in enumerate(blocks) if strides[i] >= self.config.from_stride]
        if not late:
            raise NetBoosterError(
                f"dropblock.from_stride {self.config.from_stride}: no block of "
                f"{type(model).__name__} has this stride; lower it"
            )
        return late


@register
class DropBlock(PlainMethod):
    """The network, with squares dropped from its late feature maps while it trains."""

    name = "dropblock"
    sections = ("dropblock",)

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        self.objective = DropBlockLoss(
            self.model,
            job.recipe.settings(DropBlockConfig),
            job.dataset.preprocess.example(),
            total_steps=job.steps,
            loss=job.loss,
        )
