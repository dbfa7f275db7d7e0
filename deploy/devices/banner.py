# SPDX-License-Identifier: Apache-2.0
"""What a firmware says of itself when it boots, and to ``banner``."""

from pydantic import BaseModel, NonNegativeInt


class BannerTensor(BaseModel):
    """An input or output: shape with the batch dimension, bytes."""

    name: str = ""
    shape: list[NonNegativeInt]
    bytes: NonNegativeInt


class Banner(BaseModel):
    """The boot banner, as far as we use it.

    Attributes:
        netbooster: version of the protocol.
        model, sha256: the model's name, and its .tflite file's SHA-256.
        counter: what the device's time comes from.
        pushed_rows: how many rows of the input are pushed one by one; 0: it lies there whole.
    """

    netbooster: int
    model: str = ""
    sha256: str = ""
    target: str = ""
    clock_hz: NonNegativeInt | None = None
    counter: str = "unknown"
    arena_bytes: NonNegativeInt = 0
    weights_bytes: NonNegativeInt = 0
    layers: NonNegativeInt = 0
    pushed_rows: NonNegativeInt = 0
    inputs: list[BannerTensor] = []
    outputs: list[BannerTensor] = []

    @property
    def input_bytes(self) -> int:
        """Bytes of all inputs together."""
        return sum(tensor.bytes for tensor in self.inputs)

    @property
    def output_bytes(self) -> int:
        """Bytes of all outputs together."""
        return sum(tensor.bytes for tensor in self.outputs)
