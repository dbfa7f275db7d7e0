# SPDX-License-Identifier: Apache-2.0
"""Writes deploy/tflite/schema.py: what the reader of .tflite files asks by name.

    python tools/generate_schema.py

The numbers, types and defaults are those of the TFLite schema as the package ``ai-edge-litert``
carries it, in Python that flatc generated. Only what the reader needs is taken over.
"""

import ast
import re
from pathlib import Path

from ai_edge_litert import schema_py_generated

FILE = Path(__file__).resolve().parents[1] / "deploy" / "tflite" / "schema.py"
ENUMS = (
    "ActivationFunctionType",
    "BuiltinOperator",
    "BuiltinOptions",
    "FullyConnectedOptionsWeightsFormat",
    "Padding",
    "TensorType",
)
TABLES = (
    "Buffer",
    "Model",
    "Operator",
    "OperatorCode",
    "QuantizationParameters",
    "SubGraph",
    "Tensor",
    "AddOptions",
    "ConcatenationOptions",
    "Conv2DOptions",
    "DepthwiseConv2DOptions",
    "FullyConnectedOptions",
    "MulOptions",
    "Pool2DOptions",
    "ReducerOptions",
    "ResizeBilinearOptions",
    "ResizeNearestNeighborOptions",
    "SoftmaxOptions",
    "StridedSliceOptions",
    "SubOptions",
)
WITHOUT_FIELDS = (
    "DequantizeOptions",
    "HardSwishOptions",
    "PadOptions",
    "QuantizeOptions",
    "ReshapeOptions",
    "TransposeOptions",
)
LAYOUTS = {
    "Bool": "?", "Int8": "b", "Uint8": "B", "Int16": "h", "Uint16": "H", "Int32": "i",
    "Uint32": "I", "Int64": "q", "Uint64": "Q", "Float32": "f",
}  # fmt: skip
HEAD = '''# SPDX-License-Identifier: Apache-2.0
"""Numbers of the TFLite schema by name. Made by tools/generate_schema.py; do not edit."""

from enum import IntEnum

from deploy.tflite.flatbuffer import Child, Children, Scalar, Text, Vector
'''


def render() -> str:
    """The text of deploy/tflite/schema.py."""
    source = ast.parse(Path(schema_py_generated.__file__).read_text())
    classes = {node.name: node for node in source.body if isinstance(node, ast.ClassDef)}
    functions = {node.name: node for node in source.body if isinstance(node, ast.FunctionDef)}
    parts = [HEAD]
    for name in ENUMS:
        numbers = vars(getattr(schema_py_generated, name))
        members = [
            f"    {key} = {value}"
            for key, value in numbers.items()
            if isinstance(value, int) and _is_needed(name, key)
        ]
        parts.append(f"class {name}(IntEnum):\n" + "\n".join(members) + "\n")
    for name in TABLES:
        parts.append(f"class {name}:\n" + "\n".join(_fields(name, classes[name], functions)) + "\n")
    return "\n\n".join(parts)


def _is_needed(enum: str, member: str) -> bool:
    return enum != "BuiltinOptions" or member in ("NONE", *TABLES, *WITHOUT_FIELDS)


def _fields(table: str, reader: ast.ClassDef, functions: dict[str, ast.FunctionDef]) -> list[str]:
    """One line a field; flatc's function that writes it knows its number and default."""
    verbs = {node.name: node for node in reader.body if isinstance(node, ast.FunctionDef)}
    lines = []
    for name, function in functions.items():
        if not name.startswith(f"{table}Add"):
            continue
        field = name.removeprefix(f"{table}Add")
        if field not in verbs:
            continue  # of a table whose name begins alike
        (call,) = (node for node in ast.walk(function) if isinstance(node, ast.Call)
                   and ast.unparse(node.func).startswith("builder.Prepend"))  # fmt: skip
        kind = ast.unparse(call.func).removeprefix("builder.Prepend").removesuffix("Slot")
        number, default = ast.literal_eval(call.args[0]), ast.literal_eval(call.args[2])
        if kind in LAYOUTS:
            value = f'Scalar({number}, "{LAYOUTS[kind]}", {default})'
        elif f"{field}AsNumpy" in verbs:
            (flags,) = re.findall(r"(\w+)Flags, o\)", ast.unparse(verbs[f"{field}AsNumpy"]))
            value = f'Vector({number}, "{flags.lower()}")'
        elif f"{field}Length" in verbs:
            value = f"Children({number})"
        elif "self._tab.String(" in ast.unparse(verbs[field]):
            value = f"Text({number})"
        else:
            value = f"Child({number})"
        lines.append(f"    {_constant(field)} = {value}")
    return lines


def _constant(name: str) -> str:
    """``DilationWFactor`` as DILATION_W_FACTOR."""
    return "_".join(re.findall(r"[A-Z][a-z0-9]*", name)).upper()


if __name__ == "__main__":
    FILE.write_text(render())
    print(f"{FILE}: {len(TABLES)} tables, {len(ENUMS)} enumerations")
