# SPDX-License-Identifier: Apache-2.0
"""Makes the models of this folder: TensorFlow's converter on small Keras networks, random weights.

    python tests/data/foreign/make.py          # with tensorflow 2.21.0 installed

Not part of the tests: they read the files. Weights and calibration images are seeded, but another
version of TensorFlow may write other bytes.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

FOLDER = Path(__file__).resolve().parent
layers = tf.keras.layers


def shuffle() -> Any:
    """Two units of ShuffleNet V2, then a dilated convolution and a classifier."""
    image = tf.keras.Input((48, 48, 3), batch_size=1)
    x = layers.Conv2D(24, 3, 2, "same", activation="relu")(image)
    for _ in range(2):
        kept = layers.Lambda(lambda t: t[:, :, :, :12])(x)
        other = layers.Lambda(lambda t: t[:, :, :, 12:])(x)
        other = layers.Conv2D(12, 1, activation="relu")(other)
        other = layers.DepthwiseConv2D(3, 1, "same")(other)
        other = layers.Conv2D(12, 1, activation="relu")(other)
        x = layers.Concatenate()([kept, other])
        x = layers.Reshape((24, 24, 2, 12))(x)
        x = layers.Reshape((24, 24, 24))(layers.Permute((1, 2, 4, 3))(x))
    x = layers.Conv2D(16, 3, 1, "same", dilation_rate=2, activation="tanh")(x)
    return tf.keras.Model(
        image, layers.Dense(10, activation="softmax")(layers.GlobalAveragePooling2D()(x))
    )


def pyramid() -> Any:
    """A detector's backbone with a feature pyramid: boxes and three maps of scores."""
    image = tf.keras.Input((64, 64, 3), batch_size=1)
    x = layers.Conv2D(12, 3, 2, "same", activation="relu6")(image)
    maps = []
    for channels in (16, 24, 32):
        x = layers.DepthwiseConv2D(3, 2, "same", activation="relu6")(x)
        x = layers.Conv2D(channels, 1, activation="relu6")(x)
        maps.append(layers.Conv2D(16, 1)(x))
    levels = [maps[2]]
    for lateral, method in ((maps[1], "nearest"), (maps[0], "bilinear")):
        size = lateral.shape[1:3]
        larger = layers.Lambda(lambda t, s=size, m=method: tf.image.resize(t, s, method=m))
        levels.insert(0, layers.Add()([lateral, larger(levels[0])]))
    boxes, scores = [], []
    for level in levels:
        head = layers.DepthwiseConv2D(3, 1, "same", activation="relu6")(level)
        boxes.append(layers.Reshape((-1, 4))(layers.Conv2D(12, 1)(head)))
        scores.append(layers.Activation("sigmoid")(layers.Conv2D(6, 1)(head)))
    return tf.keras.Model(image, [layers.Concatenate(axis=1)(boxes), *scores])


def excite() -> Any:
    """Blocks of MobileNetV3: hard swish, squeeze and excitation with hard sigmoid, a shortcut."""
    image = tf.keras.Input((48, 48, 3), batch_size=1)
    x = layers.Activation("hard_swish")(layers.Conv2D(16, 3, 2, "same")(image))
    for _ in range(2):
        y = layers.Activation("hard_swish")(layers.Conv2D(40, 1)(x))
        y = layers.Activation("hard_swish")(layers.DepthwiseConv2D(5, 1, "same")(y))
        means = layers.GlobalAveragePooling2D(keepdims=True)(y)
        means = layers.Conv2D(40, 1)(layers.Conv2D(12, 1, activation="relu")(means))
        y = layers.Multiply()([y, layers.Activation("hard_sigmoid")(means)])
        x = layers.Add()([x, layers.Conv2D(16, 1)(y)])
    return tf.keras.Model(image, layers.Dense(10)(layers.GlobalAveragePooling2D()(x)))


def convert(model: Any, border: str) -> bytes:
    """int8 inside; ``border`` is the type of inputs and outputs: int8, uint8 or float32."""
    images = np.random.default_rng(0).uniform(-1, 1, (8, *model.inputs[0].shape[1:]))

    def calibration() -> Iterator[list[np.ndarray]]:
        for picture in images.astype(np.float32):
            yield [picture[None]]

    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = calibration
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    if border != "float32":
        converter.inference_input_type = converter.inference_output_type = getattr(tf, border)
    flatbuffer: bytes = converter.convert()
    return flatbuffer


def main() -> None:
    """Write every model."""
    made: tuple[tuple[Callable[[], Any], str], ...] = (
        (shuffle, "uint8"), (pyramid, "int8"), (excite, "float32")
    )  # fmt: skip
    for make, border in made:
        tf.keras.utils.set_random_seed(0)
        path = FOLDER / f"{make.__name__}_{border}.tflite"
        path.write_bytes(convert(make(), border))
        print(f"{path.name}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
