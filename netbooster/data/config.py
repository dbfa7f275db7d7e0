# SPDX-License-Identifier: Apache-2.0
"""What a recipe says about its data."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class DataConfig(BaseModel):
    """The ``[data]`` table of a recipe.

    A key that the named data set does not use must keep its default; ``load_dataset`` says so
    otherwise, because a setting that silently does nothing is a wrong experiment.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    #: Which data set; ``netbooster.data.dataset_names()`` lists them.
    name: str
    #: Height and width of the images that the network sees, in pixels.
    resolution: int = Field(32, ge=8, le=1024)
    #: 1 (luminance) or 3 (RGB).
    channels: Literal[1, 3] = 3
    #: Draws the fixed parts: digits' split, glyphs' fixed images. Not the seed of training.
    seed: int = Field(0, ge=0)
    #: Pixel value (0..255) that becomes 0 in the network. 128 makes int8 = pixel - 128 exact.
    mean: float = Field(128.0, ge=0, le=255)
    #: Pixels to one unit of the network's input.
    std: float = Field(128.0, gt=0)
    #: Data sets of files: the folder where they lie; ``load_dataset`` says what it expects there.
    root: str | None = None
    #: Data sets of files: mirror half of the training images. Switch off where left and right
    #: matter.
    flip: bool = True
    #: Data sets of files: what an unreadable image does: stop, or be left out and counted.
    on_corrupt: Literal["error", "skip"] = "error"
    #: Data sets of files: threads that decode images ahead of training.
    workers: int = Field(2, ge=1, le=64)
    #: glyphs: 0 is clean print, 1 the default, more is harder.
    difficulty: float = Field(1.0, ge=0, le=3)
    #: glyphs: the classes, one character each, any of 0-9 A-Z a-z. Default: all 62.
    characters: str | None = None
    #: digits: mild random rotation, scale, shear and shift of training images.
    augment: bool = True
