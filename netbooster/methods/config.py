"""Settings of the training methods that a recipe can name beside vanilla and NetBooster."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Method = Literal[
    "vanilla",
    "dropblock",
    "kd",
    "tf-kd",
    "rco-kd",
    "rocket-launch",
    "netaug",
    "netbooster",
    "netbooster-kd",
]
"""What the one arm of a recipe is trained by."""

BOOSTED: tuple[Method, ...] = ("netbooster", "netbooster-kd")
WITH_TEACHER: tuple[Method, ...] = ("kd", "rco-kd", "netbooster-kd")
"""Methods that learn from a teacher that was trained before."""
DISTILLED: tuple[Method, ...] = (*WITH_TEACHER, "tf-kd", "rocket-launch")

WidthFactor = Annotated[float, Field(ge=1, le=8)]


def arm_of(method: Method | None) -> str:
    """The folder inside a run that a method's network goes to."""
    if method is None:
        return "vanilla"
    return "boosted" if method in BOOSTED else method


class NetAugConfig(BaseModel):
    """Width augmentation (Cai et al., 2022); the defaults are its released settings.

    Attributes:
        width_factors: widths of every layer that an augmented network may have, over the base
            network's; the first is 1.
        expansion_factors: the same for the inner width of each inverted residual block.
        loss_weight: alpha in loss(base) + alpha * loss(augmented).
        width_share: share of the steps in which widths are augmented; afterwards only the blocks'
            inner widths are.
        sort_channels: whether each epoch of that share begins by moving the inner channels of the
            largest L1 norm to the front, into the base network.
        bn_images: training images from which the exported network's BN statistics are taken.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    width_factors: tuple[WidthFactor, ...] = (1.0, 1.8, 2.6)
    expansion_factors: tuple[WidthFactor, ...] = (1.0, 1.6, 2.2, 2.8)
    loss_weight: float = Field(default=1.0, gt=0)
    width_share: float = Field(default=0.5, ge=0, le=1)
    sort_channels: bool = True
    bn_images: int = Field(default=2048, ge=2)


class DropBlockConfig(BaseModel):
    """DropBlock (Ghiasi et al., 2018).

    Attributes:
        drop_prob: share of a feature map's values that is dropped at the end of training; it
            rises evenly from 0.
        block_size: side of the dropped squares, in pixels of the feature map; smaller maps are
            dropped as a whole.
        from_stride: the outputs of all blocks whose total stride is at least this are dropped.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    drop_prob: float = Field(default=0.1, gt=0, lt=1)
    block_size: int = Field(default=7, ge=1)
    from_stride: int = Field(default=16, ge=1)
