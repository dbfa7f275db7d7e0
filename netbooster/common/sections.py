# SPDX-License-Identifier: Apache-2.0
"""What the tables of a recipe are made of, wherever their keys are written down."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
CountOrNever = Annotated[int, Field(ge=0)]


class Section(BaseModel):
    """A table of a recipe: unknown keys are refused, nothing changes later."""

    model_config = ConfigDict(extra="forbid", frozen=True)
