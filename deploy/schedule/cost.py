# SPDX-License-Identifier: Apache-2.0
"""Rough instruction counts, to choose between schedules.

They are those of the backend whose costs plan for all cores.
"""

from deploy.backends import PLANNING
from deploy.schedule.flow import Flow
from deploy.tflite.parameters import (
    Conv1x1Params,
    ConvParams,
    DepthwiseConvMultiplierParams,
    DepthwiseConvParams,
)

_COSTS = PLANNING.costs


def total_instructions(flow: Flow) -> float:
    """The whole network, layer by layer."""
    return sum(_whole(flow, number) for number in range(len(flow.layers)))


def _whole(flow: Flow, number: int) -> float:
    layer = flow.layers[number]
    output = flow.graph.tensors[layer.outputs[0]]
    if not layer.macs:
        return _COSTS.add * output.bytes if len(layer.inputs) > 1 else 0.0
    params = layer.params
    extra = (
        _depthwise(flow, number, params, None) if isinstance(params, DepthwiseConvParams) else 0.0
    )
    return _COSTS.mac * layer.macs + _COSTS.output * output.bytes + extra


def _depthwise(flow: Flow, number: int, params: DepthwiseConvParams, batch: int | None) -> float:
    """What a depthwise convolution takes to copy rows and to set up its inner loop.

    Without ``batch`` it is one band of all rows: what it takes where memory is free.
    """
    layer = flow.layers[number]
    source, target = flow.graph.tensors[layer.inputs[0]], flow.graph.tensors[layer.outputs[0]]
    window = layer.rows
    assert window is not None
    channels, taps = params.in_c, params.kernel_h**2
    overlap = max(0, window.extent - window.stride)
    bands = -(-target.height // (batch or target.height))
    again = (bands - 1) * overlap * (source.bytes // source.height)
    rows = ((batch or target.height) - 1) * window.stride + window.extent
    # Where the output is written over the ring of the input, a call may meet the ring's end.
    split = 1 + ((batch or 1) - 1) / rows if window.stride == 1 else 1.0
    setting_up = (
        _COSTS.planes * bands + channels * (_COSTS.channel + _COSTS.tap * taps) * bands * split
    )
    return _COSTS.copy * (source.bytes + again) + _COSTS.row * channels * target.height + setting_up


def extra_instructions(flow: Flow, number: int, batch: int) -> float:
    """What a layer takes more when it computes ``batch`` rows at a time instead of all."""
    layer = flow.layers[number]
    target = flow.graph.tensors[layer.outputs[0]]
    calls = -(-target.height // batch)
    extra = float(_COSTS.call * calls)
    params = layer.params
    if isinstance(params, DepthwiseConvParams):
        extra += _depthwise(flow, number, params, batch) - _depthwise(flow, number, params, None)
    elif isinstance(params, Conv1x1Params | ConvParams | DepthwiseConvMultiplierParams):
        width = params.width if isinstance(params, Conv1x1Params) else params.out_w
        pixels = target.height * width
        last = target.height - (calls - 1) * batch
        fours = (calls - 1) * -(-batch * width // 4) + -(-last * width // 4)
        extra += (
            max(0, 4 * fours - pixels)
            / pixels
            * (_COSTS.mac * layer.macs + _COSTS.output * target.bytes)
        )
    return extra
