# SPDX-License-Identifier: Apache-2.0
"""torch → int8 TFLite flatbuffer, without TensorFlow; ``via_onnx`` is the road through it."""

from deploy.quantize.adopt import adopt
from deploy.quantize.calibrate import CALIBRATION_METHODS, check_images
from deploy.quantize.network import QuantizedModel, TensorRecord, quantize_network
from deploy.quantize.trace import run_float
from deploy.quantize.user_module import load_user_module, split_reference

__all__ = [
    "CALIBRATION_METHODS",
    "QuantizedModel",
    "TensorRecord",
    "adopt",
    "check_images",
    "load_user_module",
    "quantize_network",
    "run_float",
    "split_reference",
]
