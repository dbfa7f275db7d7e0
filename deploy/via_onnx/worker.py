"""Run by ``deploy.via_onnx`` as a process of its own: model.onnx → model.tflite in this folder.

Stands alone on purpose: it shares nothing with the process that waits for it.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx2tf
import tensorflow as tf


def main(source: str) -> None:
    """Convert; ``source`` is the name of the ONNX input."""
    images = np.load("calibration.npy")
    # Already normalized data: mean 0 and deviation 1, so that nothing is normalized again.
    ones = np.ones((1, 1, 1, images.shape[3]), np.float32)
    calibration = [[source, "calibration.npy", np.zeros_like(ones), ones]]
    onnx2tf.convert(
        input_onnx_file_path="model.onnx",
        output_folder_path="saved",
        custom_input_op_name_np_data_path=calibration,
        output_signaturedefs=True,
        non_verbose=True,
    )

    def samples() -> Iterator[list[np.ndarray]]:
        for image in images:
            yield [image[None]]

    converter = tf.lite.TFLiteConverter.from_saved_model("saved")
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = samples
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    # TFLM's FULLY_CONNECTED reads one scale for all its weights.
    converter._experimental_disable_per_channel_quantization_for_dense_layers = True
    Path("model.tflite").write_bytes(converter.convert())


if __name__ == "__main__":
    main(sys.argv[1])
