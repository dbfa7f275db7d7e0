"""The text of the generated files, from the templates beside this file."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment

from deploy.codegen.plan import Plan, PlannedLayer
from deploy.core.templates import template_set
from deploy.schedule import Flow, Ring, Schedule, plane_rows, restart_of_input, stream_layers
from deploy.tflite.layer import Constant, Layer, Requantization, inner_loop

VALUES_A_LINE = 24


def _values(data: np.ndarray) -> str:
    texts = [str(v) for v in data.tolist()]
    if data.dtype == np.int32:
        # -2147483648 is no literal in C but an expression of another type.
        texts = ["(-2147483647 - 1)" if t == "-2147483648" else t for t in texts]
    lines = [
        ",".join(texts[start : start + VALUES_A_LINE])
        for start in range(0, len(texts), VALUES_A_LINE)
    ]
    return ",\n".join(lines)


def _c_string(text: str) -> str:
    """A C string literal; everything but plain ASCII becomes an octal escape."""
    out = []
    for byte in text.encode("utf-8", "replace"):
        char = chr(byte)
        plain = 32 <= byte < 127 and char not in '"\\?'
        out.append(char if plain else f"\\{byte:03o}")
    return '"' + "".join(out) + '"'


def _c_float(value: float) -> str:
    return float(value).hex() + "f"


@cache
def _templates() -> Environment:
    return template_set(
        Path(__file__).parent / "templates",
        {"values": _values, "c_string": _c_string, "c_float": _c_float},
    )


def _field(value: Any, constant_name: str) -> str:
    if isinstance(value, Constant):
        return constant_name
    if isinstance(value, Requantization):
        prefix = constant_name.rsplit("_", 1)[0]
        fast, zero_point = str(int(value.fast)), str(value.zero_point)
        flags = [
            *(["NB_FAST_INT16"] if value.int16_weights else []),
            *(["NB_FAST_SINGLE"] if value.offset is not None else []),
        ]
        if flags:
            fast = inner_loop(" | ".join(flags), fast)
        if value.offset is not None:
            zero_point = inner_loop(str(value.offset), zero_point)
        return f"{{{prefix}_channels, {zero_point}, {value.minimum}, {value.maximum}, {fast}}}"
    if isinstance(value, tuple):
        return "{" + ", ".join(_field(v, constant_name) for v in value) + "}"
    if isinstance(value, Ring):
        return f"{{{value.rows}, {value.shift}}}"
    return str(value)


def _constant_name(number: int, field: str) -> str:
    return f"nb_{number:03d}_{field}"


def _table_entry(layer: Layer, planned: PlannedLayer) -> dict[str, str]:
    """Where the layer's inputs, output and scratch lie, as C of its entry in nb_layers."""
    inputs = [f"(const int8_t *)(nb_arena + {extent.offset})" for extent in planned.inputs]
    outputs = [f"(int8_t *)(nb_arena + {extent.offset})" for extent in planned.outputs]
    assert not (layer.scratch_bytes and len(inputs) > 1)  # one place in the table for either
    other = "0"
    if layer.input_array:
        other = f".inputs = (const int8_t *const[]){{{', '.join(inputs)}}}"
    elif len(inputs) > 1:
        other = f".second = {inputs[1]}"
    elif layer.scratch_bytes:
        other = f"nb_arena + {planned.scratch_offset}"
    return {"input": inputs[0], "other": other, "output": outputs[0]}


def _fields(flow: Flow, schedule: Schedule, layer: Layer, planned: PlannedLayer) -> dict[str, Any]:
    """The kernel's parameters, with the rings and what else depends on the schedule."""
    fields: dict[str, Any] = dict(layer.params)
    piece = flow.pitched(planned.index)
    if piece is not None and not layer.by_elements:
        fields["pitch"] = piece.pitch
    if layer.rows is None:
        return fields

    def ring(index: int) -> Ring:
        whole = Ring(flow.graph.tensors[index].height)
        return schedule.timeline.rings.get(flow.place_of[index], whole)

    rings = tuple(ring(index) for index in layer.inputs)
    fields["in"] = rings if len(rings) > 1 else rings[0]
    fields["out"] = ring(layer.outputs[0])
    rows = plane_rows(layer, schedule.rows_at_a_time(planned.index))
    if rows is not None:
        fields["rows"] = rows
    return fields


def _call(flow: Flow, schedule: Schedule, planned: PlannedLayer) -> dict[str, Any]:
    """The kernel, the type of its parameters, and these as C, by name."""
    number = planned.index
    layer = flow.layers[number]
    fields = {
        key: _field(value, _constant_name(number, key))
        for key, value in _fields(flow, schedule, layer, planned).items()
    }
    kernel, params_type = layer.symbol, layer.params_type
    piece = flow.pitched(number)
    if piece is not None and layer.by_elements:
        kernel = kernel.replace("_s8", "_pixels_s8")
        params_type = params_type.replace("_params", "_pixels_params")
        whole = ", ".join(f".{key} = {value}" for key, value in fields.items())
        fields = {
            "whole": f"{{{whole}}}",
            "pixels": f"{{{piece.run}, {piece.pitch}}}",
        }
    return {"kernel": kernel, "params_type": params_type, "fields": list(fields.items())}


def emit_files(flow: Flow, schedule: Schedule, plan: Plan) -> dict[str, str]:
    """File name to text for every generated file."""
    constants = [
        {
            "name": _constant_name(number, field),
            "versions": [("", constant.data)]
            if constant.dsp is None
            else [("#ifdef NB_DSP\n", constant.dsp), ("#else\n", constant.data)],
        }
        for number, layer in enumerate(flow.layers)
        for field, constant in layer.constants()
    ]
    streams = [segment for segment in schedule.segments if segment.batches]
    stream_at = {segment.first: number for number, segment in enumerate(streams, 1)}
    entries = [
        {
            "comment": f"{layer.kind} -> {planned.output_shape}, {layer.macs} MACs",
            "params": f"params_{number:03d}",
            "height": flow.height(number) if layer.rows else 0,
            "stream": stream_at.get(number, 0),
            **_call(flow, schedule, planned),
            **_table_entry(layer, planned),
        }
        for number, (layer, planned) in enumerate(zip(flow.layers, plan.layers, strict=True))
    ]
    context = {
        "plan": plan,
        "constants": constants,
        "layers": entries,
        "pushed_layers": max((s.last for s in streams if s.pushed), default=0),
        "streams": [
            {
                "layers": (layers := stream_layers(flow, segment)),
                "restart": restart_of_input(layers),
                "planned": planned,
            }
            for segment, planned in zip(streams, plan.streams, strict=True)
        ],
        "row_bytes": plan.input.bytes // flow.graph.tensors[plan.input.index].height,
        "input_rows": flow.graph.tensors[plan.input.index].height,
        "types": {"int8": "NB_INT8", "uint8": "NB_UINT8"},
        "arena_size": max(plan.arena_bytes, 1),
    }
    environment = _templates()
    files = {
        name: environment.get_template(name + ".j2").render(context)
        for name in ("model.h", "model.c", "model_weights.c")
    }
    files["plan.json"] = plan.to_json()
    return files
