# SPDX-License-Identifier: Apache-2.0
"""MEAN over height and width."""

from dataclasses import dataclass

from deploy.tflite.flatbuffer import Table
from deploy.tflite.ir import DType, Graph, Operator
from deploy.tflite.layer import Layer
from deploy.tflite.numerics import quantize_multiplier, require_constant, require_int8
from deploy.tflite.ops.window import check_image
from deploy.tflite.parameters import MeanParams
from deploy.tflite.schema import BuiltinOptions, ReducerOptions

OPTIONS = BuiltinOptions.ReducerOptions
NEEDS_OPTIONS = True


@dataclass(frozen=True)
class Mean:
    """Attributes of MEAN."""

    keep_dims: bool


def read(options: Table | None) -> Mean:
    """Attributes from ReducerOptions."""
    assert options is not None
    return Mean(options.truth(ReducerOptions.KEEP_DIMS))


def check(graph: Graph, op: Operator) -> None:
    """Only the mean over the two axes of an image."""
    source = graph.input(op, 0)
    require_int8(graph, op, source, "input")
    require_int8(graph, op, graph.output(op), "output")
    check_image(graph, op, source, "input")
    axes = graph.input(op, 1)
    data = require_constant(graph, op, axes, "axes")
    if axes.dtype is not DType.INT32 or data.size > 4:
        raise graph.error(op, "axes must be at most 4 int32 values", 1)
    if {int(a) % 4 if -4 <= a < 4 else -1 for a in data.reshape(-1)} != {1, 2}:
        raise graph.error(
            op, f"mean over axes {data.reshape(-1).tolist()}; only height and width, [1, 2]", 1
        )


def infer(graph: Graph, op: Operator) -> tuple[int, ...]:
    """[1, c] or [1, 1, 1, c]."""
    channels = graph.input(op, 0).shape[3]
    return (1, 1, 1, channels) if op.attributes.keep_dims else (1, channels)


def lower(graph: Graph, op: Operator) -> Layer:
    """Sum, then one multiplication that also divides, as TFLM does it."""
    source, target = graph.input(op, 0), graph.output(op)
    in_q = require_int8(graph, op, source, "input")
    out_q = require_int8(graph, op, target, "output")
    _, height, width, channels = source.shape
    count = height * width
    multiplier, exponent = quantize_multiplier(in_q.scales[0] / out_q.scales[0])
    shift = min(count.bit_length() - 1, 32, 31 + exponent)
    multiplier = (multiplier << shift) // count
    return Layer(
        op.index, op.kind, target.name, (source.index,), op.outputs,
        kernel="nb_mean_s8",
        params=MeanParams(
            pixels=count,
            channels=channels,
            offset=-in_q.zero_points[0] * count,
            multiplier=multiplier,
            shift=shift - exponent,
            zero_point=out_q.zero_points[0],
        ),
        in_place=(0,),
    )  # fmt: skip
