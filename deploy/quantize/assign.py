# SPDX-License-Identifier: Apache-2.0
"""One quantization for every activation of a graph, and one for all that are tied together."""

from __future__ import annotations

from collections.abc import Mapping

from deploy.core.errors import DeployError
from deploy.quantize.graph import FloatGraph
from deploy.quantize.scheme import activation_quantization, representable
from deploy.quantize.tensors import ActivationRange, FloatTensor
from deploy.tflite import Quantization


def assign_quantization(
    graph: FloatGraph,
    ranges: Mapping[FloatTensor, ActivationRange],
    input_quantization: Quantization,
    given: Mapping[str, Quantization] | None = None,
) -> dict[FloatTensor, Quantization]:
    """Scale and zero point of every activation.

    ``given`` (by tensor name, from quantization-aware training) takes the place of ranges; every
    tensor that TFLite leaves free must then be in it, or be tied to one that is.

    Tensors that an operator ties together (pooling, padding, concatenation copy codes) share one
    quantization: the prescribed one if there is one, otherwise that of the union of their ranges.

    Raises:
        DeployError: two prescribed quantizations meet, one is missing in ``given``, or a range
            cannot be represented.
    """
    fixed: dict[FloatTensor, Quantization] = {graph.input: input_quantization}
    for op in graph.ops:
        prescribed = op.fixed_output()
        if prescribed is not None:
            fixed[op.output] = prescribed
    result: dict[FloatTensor, Quantization] = {}
    for group in graph.tied(pair for op in graph.ops for pair in op.ties()):
        prescribed_here = [fixed[tensor] for tensor in group if tensor in fixed]
        if given is not None and not prescribed_here:
            prescribed_here = [given[tensor.name] for tensor in group if tensor.name in given]
            if not prescribed_here:
                raise DeployError(
                    f"layer '{group[0].name}' has no given scale: quantization-aware training "
                    "did not see it; train again with this version"
                )
        values = ranges[group[0]]
        for tensor in group[1:]:
            values = values.union(ranges[tensor])
        if prescribed_here:
            quantization = prescribed_here[0]
            if not all(quantization == other for other in prescribed_here):
                raise DeployError(
                    f"tensors {', '.join(t.name for t in group)} must share one scale, but "
                    "softmax, sigmoid, the input or training prescribe different ones; "
                    "concatenate something else"
                )
            if given is None:  # training clips on purpose
                _warn_if_clipped(graph, group, values, quantization)
        else:
            try:
                quantization = activation_quantization(values)
            except ValueError as error:
                raise DeployError(
                    f"layer '{group[0].name}': its {error} has no int8 scale; "
                    "train it again from a sound state"
                ) from error
            if values.low == values.high == 0:
                graph.warnings.append(
                    f"layer '{group[0].name}' answers zero for every calibration image"
                )
        result.update(dict.fromkeys(group, quantization))
    return result


def _warn_if_clipped(
    graph: FloatGraph, group: list[FloatTensor], values: ActivationRange, quantization: Quantization
) -> None:
    low, high = representable(quantization)
    step = quantization.scales[0]
    if values.low < low - step or values.high > high + step:
        graph.warnings.append(
            f"layer '{group[-1].name}' reaches [{values.low:g}, {values.high:g}] but shares the "
            f"prescribed range [{low:g}, {high:g}] and is clipped to it"
        )
