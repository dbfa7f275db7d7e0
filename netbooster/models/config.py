# SPDX-License-Identifier: Apache-2.0
"""What a recipe says about its network."""

import pydantic

from netbooster.common.sections import Section
from netbooster.models.registry import model_names


class ModelConfig(Section):
    """Which network is trained; resolution, channels and classes follow from the data."""

    name: str

    @pydantic.field_validator("name")
    @classmethod
    def _is_known(cls, name: str) -> str:
        if name not in model_names():
            raise ValueError(f"unknown network {name!r}; choose one of {', '.join(model_names())}")
        return name
