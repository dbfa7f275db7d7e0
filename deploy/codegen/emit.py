# SPDX-License-Identifier: Apache-2.0
"""The text of the generated files, from the templates beside this file."""

import dataclasses
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment

from deploy.backends import C_CHOICE, C_CONDITION, ByBackend, Symbol
from deploy.codegen.plan import Plan, PlannedLayer
from deploy.core.templates import template_set
from deploy.schedule import Flow, Schedule, plane_rows, restart_of_input, stream_layers
from deploy.tflite.layer import Layer
from deploy.tflite.parameters import (
    DepthwiseConvParams,
    ElementwiseOp,
    OneRingParams,
    Params,
    PitchedParams,
    TwoRingsParams,
)
from deploy.tflite.values import Constant, Requantization, Ring

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


def _field(value: object, constant_name: str) -> str:
    """A parameter as C, by its type."""
    match value:
        case Constant():
            return constant_name
        case Symbol(name):
            return name
        case ByBackend(fast, portable):
            both = _field(fast, constant_name), _field(portable, constant_name)
            return f"{C_CHOICE}({', '.join(both)})"
        case Requantization():
            return _requantization(value, constant_name.rsplit("_", 1)[0])
        case ElementwiseOp():
            own = (getattr(value, each.name) for each in dataclasses.fields(value))
            return "{" + ", ".join(_field(each, constant_name) for each in own) + "}"
        case Ring(rows, shift):
            return f"{{{rows}, {shift}}}"
        case tuple():
            return "{" + ", ".join(_field(each, constant_name) for each in value) + "}"
        case int():
            return str(value)
    raise TypeError(f"no parameter of a kernel is {value!r}")


def _requantization(r: Requantization, prefix: str) -> str:
    flags = [
        *(["NB_FAST_INT16"] if r.int16_weights else []),
        *(["NB_FAST_SINGLE"] if r.offset is not None else []),
    ]
    fast: object = int(r.fast)
    if flags:
        fast = ByBackend[object](Symbol(" | ".join(flags)), fast)
    zero_point: object = r.zero_point
    if r.offset is not None:
        zero_point = ByBackend[object](r.offset, zero_point)
    values = (Symbol(f"{prefix}_channels"), zero_point, r.minimum, r.maximum, fast)
    return _field(values, prefix)


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


def _params(flow: Flow, schedule: Schedule, layer: Layer, planned: PlannedLayer) -> Params:
    """The kernel's parameters, with the rings and what else depends on the schedule."""
    params = layer.params
    if params is None:
        raise TypeError(f"{layer.name} has no code")
    piece = flow.pitched(planned.index)
    if piece is not None and isinstance(params, PitchedParams):
        params = dataclasses.replace(params, pitch=piece.pitch)

    def ring(index: int) -> Ring:
        whole = Ring(flow.graph.tensors[index].height)
        return schedule.timeline.rings.get(flow.place_of[index], whole)

    rings, out = tuple(ring(index) for index in layer.inputs), ring(layer.outputs[0])
    if isinstance(params, TwoRingsParams):
        return dataclasses.replace(params, in_=rings, out=out)
    if isinstance(params, OneRingParams):
        params = dataclasses.replace(params, in_=rings[0], out=out)
    rows = plane_rows(layer, schedule.rows_at_a_time(planned.index))
    if rows is not None and isinstance(params, DepthwiseConvParams):
        params = dataclasses.replace(params, rows=rows)
    return params


def _call(flow: Flow, schedule: Schedule, planned: PlannedLayer) -> dict[str, Any]:
    """The kernel, the type of its parameters, and these as C, by name."""
    number = planned.index
    layer = flow.layers[number]
    params = _params(flow, schedule, layer, planned)
    fields = {key: _field(value, _constant_name(number, key)) for key, value in params.items()}
    kernel, params_type = layer.symbol, params.STRUCT
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
            if constant.fast is None
            else [(f"#ifdef {C_CONDITION}\n", constant.fast), ("#else\n", constant.data)],
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
