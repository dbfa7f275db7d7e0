# SPDX-License-Identifier: Apache-2.0
"""Run by ``deploy.quantize.via_onnx`` as a process of its own: model.onnx → model.tflite here.

Stands alone on purpose: it shares nothing with the process that waits for it.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import onnx2tf
import onnxruntime
import tensorflow as tf


def check_activations(source: str, images: np.ndarray) -> None:
    """Stop where an operator gives NaN or infinity on an image: its range would be no number."""
    model = onnx.load("model.onnx")
    makers = {name: node for node in model.graph.node for name in node.output if name}
    known = {value.name for value in model.graph.output}
    model.graph.output.extend(
        onnx.ValueInfoProto(name=name) for name in makers if name not in known
    )
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    names = [value.name for value in session.get_outputs()]
    for image in images.transpose(0, 3, 1, 2):
        found = dict(zip(names, session.run(names, {source: image[None]}), strict=True))
        for name, node in makers.items():  # in order of execution: the first is the culprit
            values = found[name]
            if values.dtype.kind == "f" and not np.isfinite(values).all():
                raise SystemExit(
                    f"Error: operator '{node.name or name}' ({node.op_type}) gives NaN or infinity "
                    "on the calibration images"
                )


def main(source: str) -> None:
    """Convert; ``source`` is the name of the ONNX input."""
    images = np.load("calibration.npy")
    check_activations(source, images)
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
