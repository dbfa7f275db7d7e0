"""Rough instruction counts, to choose between schedules.

They are the counts of the Cortex-M4 kernels to within some tens of percent; the measured count is
what the emulator says.
"""

from deploy.graph.layer import Layer
from deploy.schedule.flow import Flow
from deploy.schedule.stream import BAND

CALL = 75  # around one call of a layer for some rows
MAC = 0.88  # of the inner loops
OUTPUT = 8  # to requantize and store an element
ADD = 21  # an element
COPY = 1.75  # to widen an element for the depthwise kernel
MOVE = 1.2  # to move a widened element to the top of its plane
CHANNEL = 45  # to set up the depthwise inner loop for some rows of a channel
PADDING = 60  # to pad a row of the planes
ROW = 20  # around an output row of a channel


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
    """What a depthwise convolution takes to copy rows and to set up its inner loop."""
    layer = flow.layers[number]
    source, target = flow.graph.tensors[layer.inputs[0]], flow.graph.tensors[layer.outputs[0]]
    window = layer.rows
    assert window is not None
    channels, taps = int(str(layer.params["in_c"])), int(str(layer.params["kernel_h"])) ** 2
    overlap = max(0, window.extent - window.stride)
    bands = -(-target.height // (batch or BAND))
    again = (bands - 1) * overlap * (source.bytes // source.height)
    setting_up = channels * (CHANNEL + 2.4 * taps)
    common = COPY * source.bytes + ROW * channels * target.height
    if batch is None:
        return common + MOVE * again + bands * setting_up
    rows = (batch - 1) * window.stride + window.extent
    # Where the output is written over the ring of the input, a call may meet the ring's end.
    calls = bands * (1 + (batch - 1) / rows if window.stride == 1 else 1)
    return common + COPY * again + calls * setting_up + PADDING * bands * rows


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
