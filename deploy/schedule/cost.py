"""Rough instruction counts, to choose between schedules.

They are the counts of the Cortex-M4 kernels to within some tens of percent; the measured count is
what the emulator says.
"""

from deploy.schedule.flow import Flow
from deploy.tflite.layer import Layer

CALL = 75  # around one call of a layer for some rows
MAC = 0.86  # of the inner loops
OUTPUT = 6.5  # to requantize and store an element
ADD = 7  # an element
COPY = 1.7  # to widen an element for the depthwise kernel
CHANNEL = 30  # to set up the depthwise inner loop for some rows of a channel,
TAP = 3.6  # with each of its taps
PLANES = 400  # to set up a depthwise convolution
ROW = 15  # around an output row of a channel


def total_instructions(flow: Flow) -> float:
    """The whole network, layer by layer."""
    return sum(_whole(flow, number) for number in range(len(flow.layers)))


def _whole(flow: Flow, number: int) -> float:
    layer = flow.layers[number]
    output = flow.graph.tensors[layer.outputs[0]]
    if not layer.macs:
        return ADD * output.bytes if len(layer.inputs) > 1 else 0.0
    extra = _depthwise(flow, number, None) if _is_depthwise(layer) else 0.0
    return MAC * layer.macs + OUTPUT * output.bytes + extra


def _is_depthwise(layer: Layer) -> bool:
    return layer.kernel == "nb_depthwise_conv_s8"


def _depthwise(flow: Flow, number: int, batch: int | None) -> float:
    """What a depthwise convolution takes to copy rows and to set up its inner loop.

    Without ``batch`` it is one band of all rows: what it takes where memory is free.
    """
    layer = flow.layers[number]
    source, target = flow.graph.tensors[layer.inputs[0]], flow.graph.tensors[layer.outputs[0]]
    window = layer.rows
    assert window is not None
    channels, taps = int(str(layer.params["in_c"])), int(str(layer.params["kernel_h"])) ** 2
    overlap = max(0, window.extent - window.stride)
    bands = -(-target.height // (batch or target.height))
    again = (bands - 1) * overlap * (source.bytes // source.height)
    rows = ((batch or target.height) - 1) * window.stride + window.extent
    # Where the output is written over the ring of the input, a call may meet the ring's end.
    split = 1 + ((batch or 1) - 1) / rows if window.stride == 1 else 1.0
    setting_up = PLANES * bands + channels * (CHANNEL + TAP * taps) * bands * split
    return COPY * (source.bytes + again) + ROW * channels * target.height + setting_up


def extra_instructions(flow: Flow, number: int, batch: int) -> float:
    """What a layer takes more when it computes ``batch`` rows at a time instead of all."""
    layer = flow.layers[number]
    target = flow.graph.tensors[layer.outputs[0]]
    calls = -(-target.height // batch)
    extra = float(CALL * calls)
    if _is_depthwise(layer):
        extra += _depthwise(flow, number, batch) - _depthwise(flow, number, None)
    elif layer.macs:
        width = layer.params.get("width", layer.params.get("out_w"))
        assert isinstance(width, int)
        pixels = target.height * width
        last = target.height - (calls - 1) * batch
        fours = (calls - 1) * -(-batch * width // 4) + -(-last * width // 4)
        extra += max(0, 4 * fours - pixels) / pixels * (MAC * layer.macs + OUTPUT * target.bytes)
    return extra
