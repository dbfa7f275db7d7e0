# SPDX-License-Identifier: Apache-2.0
"""Networks by name. A network is one file here: a class or a function under ``@register``."""

# The order of these imports is the order in which networks are listed.
# isort: off
from netbooster.models.mobilenet_v2 import MobileNetV2
from netbooster.models.mcunet import MCUNet
from netbooster.models.torchvision_networks import deit_tiny, resnet50
from netbooster.models.registry import ModelInfo, build_model, model_info, model_names, register

# isort: on

__all__ = [
    "MCUNet",
    "MobileNetV2",
    "ModelInfo",
    "build_model",
    "deit_tiny",
    "model_info",
    "model_names",
    "register",
    "resnet50",
]
