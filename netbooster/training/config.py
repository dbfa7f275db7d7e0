# SPDX-License-Identifier: Apache-2.0
"""What a recipe says about training, whichever its method is."""

from typing import Annotated, Literal

import pydantic
from pydantic import Field

from netbooster.common.sections import Count, CountOrNever, NotNegative, Positive, Section, Share


class TrainConfig(Section):
    """How a network is trained; all methods take equally many optimizer steps.

    What the paper leaves open (warm-up, weight decay, label smoothing, Nesterov momentum) defaults
    to the published recipe of the width-augmentation baseline that it follows (section 4.1).
    """

    steps: Count | None = None
    """Optimizer steps in total; either this or ``epochs``."""
    epochs: Positive | None = None
    """Passes over the training split in total; either this or ``steps``."""
    batch_size: Count = 128
    """Images of one optimizer step, over all processes and parts."""
    accumulate: Count = 1
    """Parts of a batch that run one after another before the optimizer step; saves memory. BN
    normalizes each part by itself."""
    optimizer: Literal["sgd", "adamw"] = "sgd"
    lr: Positive = 0.1
    """Peak learning rate of the vanilla network and, unless set there, of the giant."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """SGD only."""
    nesterov: bool = True
    """SGD only."""
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = (
        0.9,
        0.999,
    )
    """AdamW only: decay of the running means of gradient and squared gradient."""
    weight_decay: NotNegative = 4e-5
    """On weights of convolutions and linear layers only: none on bias, norm, class token and
    positions. With AdamW it is decoupled from the gradient (DeiT: 0.05)."""
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.1
    schedule: Literal["cosine"] = "cosine"
    warmup: Share = 0.03
    """Share of a phase's steps in which its learning rate rises linearly from 0."""
    amp: Literal["off", "bfloat16", "float16"] = "off"
    """Automatic mixed precision: the type of convolutions and products; float16 scales the loss."""
    ema_decay: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Decay of a moving average of the weights, which is then what is evaluated and contracted;
    0 keeps none. It begins anew with each phase."""
    sync_bn: bool = False
    """Normalize over the images of all processes of a `torchrun`; GPUs only."""
    channels_last: bool = True
    """Memory format on the CPU, where it halves a step's time; the numbers stay the same up to
    rounding. Ignored on GPUs."""
    recompute: bool = False
    """Compute the maps of the giant's blocks again in the backward pass instead of keeping them:
    less memory, more time, the same weights."""
    threads: CountOrNever = 0
    """CPU threads; 0 is torch's default, one a core."""
    log_every: Count = 20
    """Steps between two lines of ``metrics.jsonl``."""
    eval_every: CountOrNever = 0
    """Steps between two evaluations on the validation split; 0 is only at the end."""
    eval_images: Count = 2000
    """Validation images of an evaluation in the middle of training."""
    checkpoint_every: CountOrNever = 0
    """Steps between two checkpoints; 0 leaves it to ``checkpoint_seconds``."""
    checkpoint_seconds: NotNegative = 30.0
    """Seconds between two checkpoints; 0 leaves it to ``checkpoint_every``."""

    @pydantic.model_validator(mode="after")
    def _has_one_length(self) -> "TrainConfig":
        if (self.steps is None) == (self.epochs is None):
            raise ValueError("set exactly one of 'steps' and 'epochs'")
        if self.nesterov and self.momentum == 0:
            raise ValueError("'nesterov = true' needs 'momentum' greater than 0")
        return self

    def total_steps(self, train_images: int) -> int:
        """Optimizer steps for a training split of ``train_images`` images."""
        if self.steps is not None:
            return self.steps
        assert self.epochs is not None  # checked when the section was read
        return max(1, round(self.epochs * train_images / self.batch_size))
