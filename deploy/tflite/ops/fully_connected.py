# SPDX-License-Identifier: Apache-2.0
"""FULLY_CONNECTED."""

from dataclasses import dataclass

import numpy as np

from deploy.backends import NULL, most_scratch
from deploy.tflite.flatbuffer import Table
from deploy.tflite.ir import Graph, Operator
from deploy.tflite.layer import Layer
from deploy.tflite.numerics import (
    check_activation,
    convolution_multipliers,
    require_constant,
    require_int8,
)
from deploy.tflite.ops.bias import read_bias
from deploy.tflite.ops.product import in_one_rounding, product_requantization
from deploy.tflite.ops.window import MAX_DIMENSION
from deploy.tflite.parameters import FullyConnectedParams
from deploy.tflite.schema import (
    BuiltinOptions,
    FullyConnectedOptions,
    FullyConnectedOptionsWeightsFormat,
)
from deploy.tflite.values import Constant

OPTIONS = BuiltinOptions.FullyConnectedOptions
NEEDS_OPTIONS = True


@dataclass(frozen=True)
class FullyConnected:
    """Attributes of FULLY_CONNECTED."""

    activation: int
    weights_format: int
    keep_dims: bool


def read(options: Table | None) -> FullyConnected:
    """Attributes from FullyConnectedOptions."""
    assert options is not None
    return FullyConnected(
        options.integer(FullyConnectedOptions.FUSED_ACTIVATION_FUNCTION),
        options.integer(FullyConnectedOptions.WEIGHTS_FORMAT),
        options.truth(FullyConnectedOptions.KEEP_NUM_DIMS),
    )


def check(graph: Graph, op: Operator) -> None:
    """Types and shapes."""
    a: FullyConnected = op.attributes
    source, weights, target = graph.input(op, 0), graph.input(op, 1), graph.output(op)
    require_int8(graph, op, source, "input")
    require_int8(graph, op, target, "output")
    require_constant(graph, op, weights, "weights")
    check_activation(graph, op, a.activation)
    if a.weights_format != FullyConnectedOptionsWeightsFormat.DEFAULT:
        raise graph.error(op, "shuffled weights are not supported; export with default weights")
    if len(weights.shape) != 2 or max(weights.shape) > MAX_DIMENSION:
        raise graph.error(
            op, f"weights {weights.label} are {list(weights.shape)}, not [outputs, inputs]"
        )
    if source.elements % weights.shape[1]:
        raise graph.error(
            op, f"{source.elements} input elements are no multiple of {weights.shape[1]}", 0
        )
    read_bias(graph, op, weights.shape[0])
    convolution_multipliers(graph, op, weights, weights.shape[0], axis=0)


def infer(graph: Graph, op: Operator) -> tuple[int, ...]:
    """The declared shape where it agrees with the number of rows; TFLM looks at nothing else."""
    source, weights = graph.input(op, 0), graph.input(op, 1)
    channels, depth = weights.shape
    rows = source.elements // depth
    declared = graph.output(op).shape
    if declared and declared[-1] == channels and graph.output(op).elements == rows * channels:
        return declared
    return (rows, channels)


def lower(graph: Graph, op: Operator) -> Layer:
    """One dot product an output."""
    source, weights, target = graph.input(op, 0), graph.input(op, 1), graph.output(op)
    rows = require_constant(graph, op, weights, "weights").astype(np.int64)
    channels, depth = rows.shape
    padded = -(-depth // 4) * 4
    packed = np.zeros((channels, padded), np.int8)
    packed[:, :depth] = rows
    batch = source.elements // depth
    requant = in_one_rounding(product_requantization(graph, op, rows, axis=0))
    return Layer(
        op.index, op.kind, target.name, (source.index,), op.outputs,
        kernel="nb_fully_connected_s8" if requant.fast else "nb_fully_connected_any_s8",
        params=FullyConnectedParams(
            weights=Constant(packed.reshape(-1), "weights"),
            requantization=requant,
            gemm=NULL,
            batch=batch,
            in_c=depth,
            out_c=channels,
        ),
        macs=batch * channels * depth,
        scratch_bytes=most_scratch(
            lambda b: b.product_scratch(depth, pixels=1, gathered=False)
        ),
    )  # fmt: skip
