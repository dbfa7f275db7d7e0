# SPDX-License-Identifier: Apache-2.0
"""QUANTIZE between two int8 quantizations, or between uint8 and int8 at the model's border.

A QUANTIZE of a float32 model input is no operator here: see :mod:`deploy.tflite.border`.
"""

from deploy.tflite.fixed_point import multiply_by_quantized_multiplier
from deploy.tflite.flatbuffer import Table
from deploy.tflite.ir import DType, Graph, Operator, Quantization, Tensor
from deploy.tflite.layer import Layer
from deploy.tflite.numerics import require_int8
from deploy.tflite.ops.lookup import infer_lookup, lower_lookup, refuse_constant
from deploy.tflite.ops.rescale import check_exponent
from deploy.tflite.schema import BuiltinOptions

OPTIONS = BuiltinOptions.QuantizeOptions
NEEDS_OPTIONS = False

infer = infer_lookup


def read(options: Table | None) -> None:
    """QuantizeOptions has no fields."""


def _quantization(graph: Graph, op: Operator, tensor: Tensor, role: str) -> Quantization:
    """Like :func:`require_int8`, for uint8 as well where the tensor lies at the model's border."""
    border = graph.inputs if role == "input" else graph.outputs
    if tensor.dtype is not DType.UINT8:
        return require_int8(graph, op, tensor, role)
    if tensor.index not in border:
        raise graph.error(
            op, f"{role} {tensor.label} is uint8; that is supported for the model's {role}s only"
        )
    if tensor.quantization is None or len(tensor.quantization.scales) != 1:
        raise graph.error(
            op, f"{role} {tensor.label} has no per-tensor quantization; export the model again"
        )
    return tensor.quantization


def check(graph: Graph, op: Operator) -> None:
    """Types and scales."""
    source, target = graph.input(op, 0), graph.output(op)
    in_q = _quantization(graph, op, source, "input")
    out_q = _quantization(graph, op, target, "output")
    refuse_constant(graph, op, 0)
    if source.dtype is target.dtype is DType.UINT8:
        raise graph.error(op, "from uint8 to uint8 is not supported; one side must be int8")
    check_exponent(graph, op, in_q.scales[0] / out_q.scales[0])


def lower(graph: Graph, op: Operator) -> Layer:
    """A look-up."""
    source, target = graph.input(op, 0), graph.output(op)
    in_q = _quantization(graph, op, source, "input")
    out_q = _quantization(graph, op, target, "output")
    multiplier, exponent = check_exponent(graph, op, in_q.scales[0] / out_q.scales[0])
    low, high = (0, 255) if target.dtype is DType.UINT8 else (-128, 127)

    def of(value: int) -> int:
        distance = value - in_q.zero_points[0]
        scaled = multiply_by_quantized_multiplier(distance, multiplier, exponent)
        return max(low, min(high, scaled + out_q.zero_points[0]))

    return lower_lookup(graph, op, of)
