"""ADD of two tensors of one shape, or of one with a scalar or a constant of the same shape."""

from dataclasses import dataclass

from deploy.graph.flatbuffer import Table
from deploy.graph.ir import Graph, Operator
from deploy.graph.layer import Layer, RowWindow
from deploy.graph.numerics import (
    activation_range,
    check_activation,
    quantize_multiplier,
    require_int8,
)

OPTIONS = 11
NEEDS_OPTIONS = False
LEFT_SHIFT = 20


@dataclass(frozen=True)
class Add:
    """Attributes of ADD."""

    activation: int


def read(options: Table | None) -> Add:
    """Attributes from AddOptions."""
    return Add(options.integer(0, "b") if options is not None else 0)


def check(graph: Graph, op: Operator) -> None:
    """Types and shapes; broadcasting is refused."""
    for position in (0, 1):
        tensor = graph.input(op, position)
        require_int8(graph, op, tensor, "input")
        if tensor.data is not None:
            raise graph.error(op, "a constant operand is not supported", position)
    require_int8(graph, op, graph.output(op), "output")
    check_activation(graph, op, op.attributes.activation)
    if graph.input(op, 0).shape != graph.input(op, 1).shape:
        raise graph.error(
            op,
            f"broadcasting {list(graph.input(op, 0).shape)} with {list(graph.input(op, 1).shape)} "
            "is not supported; both inputs need one shape",
        )
    if multipliers(graph, op)[2][1] > 0:
        raise graph.error(
            op, "its output scale is too small against its inputs' scales; calibrate again"
        )


def infer(graph: Graph, op: Operator) -> tuple[int, ...]:
    """The shape of the inputs."""
    return graph.input(op, 0).shape


def multipliers(graph: Graph, op: Operator) -> list[tuple[int, int]]:
    """(multiplier, exponent) of the first input, the second and the output."""
    first = require_int8(graph, op, graph.input(op, 0), "input").scales[0]
    second = require_int8(graph, op, graph.input(op, 1), "input").scales[0]
    target = require_int8(graph, op, graph.output(op), "output").scales[0]
    twice_max = 2 * max(first, second)
    return [
        quantize_multiplier(first / twice_max),
        quantize_multiplier(second / twice_max),
        quantize_multiplier(twice_max / ((1 << LEFT_SHIFT) * target)),
    ]


def lower(graph: Graph, op: Operator) -> Layer:
    """Element by element; the output may overwrite either input."""
    first, second, target = graph.input(op, 0), graph.input(op, 1), graph.output(op)
    out_q = require_int8(graph, op, target, "output")
    zeros = [require_int8(graph, op, t, "input").zero_points[0] for t in (first, second)]
    low, high = activation_range(op.attributes.activation, out_q)
    (m1, e1), (m2, e2), (m3, e3) = multipliers(graph, op)
    return Layer(
        op.index, op.kind, target.name, (first.index, second.index), op.outputs,
        kernel="nb_add_s8",
        params_type="nb_add_params",
        params={
            "row": target.elements // target.height,
            "multiplier": (m1, m2, m3),
            "zero_point": (*zeros, out_q.zero_points[0]),
            "shift": (-e1, -e2, -e3),
            "minimum": low, "maximum": high,
        },
        in_place=(0, 1),
        rows=RowWindow(),
    )  # fmt: skip
