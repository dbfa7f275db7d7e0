# SPDX-License-Identifier: Apache-2.0
"""The TensorFlow Lite Micro interpreter on the host: the golden result."""

import numpy as np

from deploy.core.errors import DeployError

# Its own guess from the file's size is too small for models with small weights and large tensors.
ARENA_BYTES = 32 << 20


def tflm_available() -> str | None:
    """None where the interpreter can be used, else the reason why not."""
    try:
        from tflite_micro.python.tflite_micro import runtime
    except ImportError as error:
        return f"tflite-micro is not installed ({error}); its wheels exist for Linux x86-64 only"
    return None if hasattr(runtime, "Interpreter") else "tflite-micro lacks its interpreter"


class TflmModel:
    """A model run by TFLM's reference kernels."""

    def __init__(self, tflite: bytes, *, keep_tensors: bool = False) -> None:
        """Load a flatbuffer.

        Args:
            keep_tensors: give every activation memory of its own, so that :meth:`tensor` can be
                asked; takes more memory.

        Raises:
            DeployError: the interpreter is not installed or refuses the model.
        """
        reason = tflm_available()
        if reason is not None:
            raise DeployError(f"cannot compare with TFLM: {reason}")
        from tflite_micro.python.tflite_micro import runtime

        try:
            kinds = runtime.InterpreterConfig
            self._interpreter = runtime.Interpreter.from_bytes(
                bytes(tflite),
                arena_size=ARENA_BYTES * (8 if keep_tensors else 1),
                intrepreter_config=(
                    kinds.kPreserveAllTensors if keep_tensors else kinds.kAllocationRecording
                ),
            )
        except Exception as error:
            raise DeployError(f"TFLM refuses the model: {error}") from error

    def invoke(self, inputs: np.ndarray) -> np.ndarray:
        """One inference on input 0: int8 [1, h, w, c] to output 0."""
        return self.invoke_all([inputs])[0]

    def invoke_all(self, inputs: list[np.ndarray]) -> list[np.ndarray]:
        """One inference with all inputs, in the model's order, to output 0 alone in a list.

        The interpreter has no count of outputs, so only the first is read.
        """
        for index, value in enumerate(inputs):
            self._interpreter.set_input(value, index)
        self._interpreter.invoke()
        return [np.array(self._interpreter.get_output(0))]

    def output(self, index: int) -> np.ndarray:
        """Output ``index`` of the last inference."""
        return np.array(self._interpreter.get_output(index))

    def tensor(self, index: int) -> np.ndarray:
        """Tensor ``index`` of the file after the last inference; needs ``keep_tensors``."""
        return np.array(self._interpreter.GetTensor(index, 0)["tensor_data"])
