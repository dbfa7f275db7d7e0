# SPDX-License-Identifier: Apache-2.0
"""The int32 bias of convolution-like operators."""

import numpy as np

from deploy.tflite.ir import DType, Graph, Operator
from deploy.tflite.numerics import require_constant


def read_bias(graph: Graph, op: Operator, channels: int) -> np.ndarray:
    """The bias as int64 [channels], zeros where the operator has none.

    Raises:
        DeployError: it is not a constant int32 vector of that length.
    """
    bias = graph.optional_input(op, 2)
    if bias is None:
        return np.zeros(channels, np.int64)
    data = require_constant(graph, op, bias, "bias")
    if bias.dtype is not DType.INT32 or bias.shape != (channels,):
        raise graph.error(
            op,
            f"bias {bias.label} is {bias.dtype.numpy} {list(bias.shape)}, not int32 [{channels}]",
        )
    return data.astype(np.int64)
