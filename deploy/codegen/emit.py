"""The text of the generated files, from the templates beside this file."""

from functools import cache
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from deploy.codegen.plan import Plan
from deploy.graph.ir import Graph
from deploy.graph.layer import Constant, Layer, Requantization
from deploy.schedule import MemoryPlan

VALUES_A_LINE = 24


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("deploy.codegen", "templates"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    environment.filters["values"] = _values
    environment.filters["c_string"] = _c_string
    environment.filters["c_float"] = _c_float
    return environment


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


def _field(value: Any, constant_name: str) -> str:
    if isinstance(value, Constant):
        return constant_name
    if isinstance(value, Requantization):
        prefix = constant_name.rsplit("_", 1)[0]
        return (
            f"{{{prefix}_bias_multiplier, {prefix}_shift, {value.zero_point}, "
            f"{value.minimum}, {value.maximum}, {int(value.fast)}}}"
        )
    if isinstance(value, tuple):
        return "{" + ", ".join(str(v) for v in value) + "}"
    return str(value)


def _constant_name(number: int, field: str) -> str:
    return f"nb_{number:03d}_{field}"


def _call(number: int, layer: Layer, memory: MemoryPlan) -> str:
    arguments = [f"&params_{number:03d}"]
    offsets = [memory.offsets[i] for i in layer.inputs + layer.outputs]
    types = ["const int8_t *"] * len(layer.inputs) + ["int8_t *"] * len(layer.outputs)
    for ctype, offset in zip(types, offsets, strict=True):
        arguments.append(f"({ctype})(nb_arena + {offset})")
    if number in memory.scratch_offsets:
        arguments.append(f"nb_arena + {memory.scratch_offsets[number]}")
    return f"{layer.kernel}({', '.join(arguments)})"


def emit_files(graph: Graph, layers: list[Layer], memory: MemoryPlan, plan: Plan) -> dict[str, str]:
    """File name to text for every generated file."""
    constants = [
        {"name": _constant_name(number, field), "ctype": constant.ctype, "data": constant.data}
        for number, layer in enumerate(layers)
        for field, constant in layer.constants()
    ]
    calls = [
        {
            "symbol": planned.symbol,
            "comment": f"{layer.kind} -> {planned.output_shape}, {layer.macs} MACs",
            "name": layer.name,
            "params_type": layer.params_type,
            "params": f"params_{number:03d}",
            "fields": [
                (key, _field(value, _constant_name(number, key)))
                for key, value in layer.params.items()
            ],
            "call": _call(number, layer, memory),
        }
        for number, (layer, planned) in enumerate(zip(layers, plan.layers, strict=True))
    ]
    context = {
        "plan": plan,
        "constants": constants,
        "layers": calls,
        "types": {"int8": "NB_INT8", "uint8": "NB_UINT8"},
        "arena_size": max(plan.arena_bytes, 1),
    }
    environment = _environment()
    files = {
        name: environment.get_template(name + ".j2").render(context)
        for name in ("model.h", "model.c", "model_weights.c")
    }
    files["plan.json"] = plan.to_json()
    return files
