"""The sections of a recipe that name no other recipe, with their keys, bounds and defaults."""

from typing import Annotated, Literal

import pydantic
from pydantic import BaseModel, ConfigDict, Field

from netbooster.giant.expansion import ExpansionConfig
from netbooster.models import model_names

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
CountOrNever = Annotated[int, Field(ge=0)]


class Section(BaseModel):
    """A table of a recipe: unknown keys are refused, nothing changes later."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelConfig(Section):
    """Which network is trained; resolution, channels and classes follow from the data."""

    name: str

    @pydantic.field_validator("name")
    @classmethod
    def _is_known(cls, name: str) -> str:
        if name not in model_names():
            raise ValueError(f"unknown network {name!r}; choose one of {', '.join(model_names())}")
        return name


class TrainConfig(Section):
    """How both arms are trained; vanilla and NetBooster take equally many optimizer steps.

    What the paper leaves open (warm-up, weight decay, label smoothing, Nesterov momentum) defaults
    to the published recipe of the width-augmentation baseline that it follows (section 4.1).
    """

    steps: Count | None = None
    """Optimizer steps of one arm in total; either this or ``epochs``."""
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


class NetBoosterConfig(Section):
    """The boosted arm: expand, train the giant, linearize it (PLT), contract it."""

    expansion: ExpansionConfig = Field(default_factory=ExpansionConfig)
    giant_share: Annotated[float, Field(gt=0, lt=1)] = 160 / 310
    """Share of all steps in which the giant trains before PLT; the paper: 160 of 310 epochs."""
    giant_lr: Positive | None = None
    """Peak learning rate of the giant's phase; absent: ``train.lr``."""
    giant_final_lr: NotNegative = 0.0
    """Learning rate at which the giant's cosine ends."""
    decay_share: Annotated[float, Field(ge=0, le=1)] = 40 / 150
    """E_d: share of the PLT phase in which alpha rises to 1; the paper: 40 of 150 epochs."""
    plt_lr: Positive = 0.05
    """Peak learning rate of the PLT phase, which the paper does not give."""
    plt_warmup: Share = 0.0
    """Share of the PLT phase in which its learning rate rises from 0."""


class FineTuningConfig(Section):
    """Quantization-aware fine-tuning of the finished float network."""

    steps: Count | None = None
    """Optimizer steps; absent: ``share`` of the float training's."""
    share: Annotated[float, Field(gt=0, le=1)] = 0.1
    lr: Positive = 0.002
    """Learning rate at the start of its cosine."""
    batch_size: Count | None = None
    """Absent: ``train.batch_size``."""


class QuantizationConfig(Section):
    """How the float network becomes int8."""

    method: Literal["post-training", "equalized", "quantization-aware"] = "post-training"
    """``equalized`` adds cross-layer equalization and bias correction; ``quantization-aware``
    trains on with int8 arithmetic in the forward pass."""
    calibration: Literal["min-max", "percentile", "entropy", "mse"] = "min-max"
    """How the range of an activation follows from its values over the calibration images."""
    calibration_samples: Count = 512
    """Training images from which the ranges of activations are taken."""
    max_drop: NotNegative | None = None
    """Points of validation accuracy that int8 may lose; the methods are then tried in order of
    cost, from ``method`` on, and the first that fits is taken."""
    fine_tuning: FineTuningConfig = Field(default_factory=FineTuningConfig)


class EmulateConfig(Section):
    """What runs on the emulated board."""

    images: Count = 32
    """Test images that the firmware answers."""
