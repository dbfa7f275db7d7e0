"""Rough instruction counts of what streaming repeats, to choose between schedules.

They are the counts of the Cortex-M4 kernels to within some tens of percent; the measured count is
what the emulator says.
"""

from deploy.schedule.flow import Flow

CALL = 120  # instructions around one call of a layer for some rows
COPY = 2.0  # to widen an element for the depthwise kernel
MAC = 1.3


def total_instructions(flow: Flow) -> float:
    """The whole network, layer by layer."""
    return sum(MAC * layer.macs for layer in flow.layers)


def extra_instructions(flow: Flow, number: int, batch: int) -> float:
    """What a layer takes more when it computes ``batch`` rows at a time instead of all."""
    layer = flow.layers[number]
    source, target = flow.places[flow.inputs(number)[0]], flow.places[flow.output(number)]
    calls = -(-target.height // batch)
    extra = float(CALL * calls)
    window = layer.rows
    assert window is not None
    if layer.kernel == "nb_depthwise_conv_s8":
        rows = calls * ((batch - 1) * window.stride + window.extent)
        extra += max(0, rows - source.height) * source.row_bytes * COPY
        channels, taps = int(str(layer.params["out_c"])), int(str(layer.params["kernel_h"]))
        extra += calls * channels * (130 + 4 * taps * taps)
    elif layer.macs:
        width = layer.params.get("width", layer.params.get("out_w"))
        assert isinstance(width, int)
        pixels = target.height * width
        last = target.height - (calls - 1) * batch
        fours = (calls - 1) * -(-batch * width // 4) + -(-last * width // 4)
        extra += max(0, 4 * fours - pixels) / pixels * MAC * layer.macs
    return extra
