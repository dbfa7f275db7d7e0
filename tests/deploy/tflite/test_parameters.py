# SPDX-License-Identifier: Apache-2.0
"""The kernels' parameters are the same in Python and in C, field by field."""

import dataclasses
import re
import typing

import pytest

from deploy.core.places import firmware_root
from deploy.tflite import parameters
from deploy.tflite.parameters import ElementwiseOp, Params
from deploy.tflite.values import Ring

HEADER = (firmware_root() / "firmware" / "include" / "nb_kernels.h").read_text()
CLASSES = {each.STRUCT: each for each in Params.__subclasses__()}
PIXELS = "_pixels_params"  # structs around another one, which the code generator writes itself


def c_fields(body: str) -> dict[str, str]:
    """Name to kind: pointer, array, or the type of a plain field."""
    found = {}
    for statement in re.sub(r"/\*.*?\*/", "", body, flags=re.DOTALL).split(";"):
        if not statement.strip():
            continue
        kind, names = re.fullmatch(r"\s*(?:const )?(\w+)\s+(.*)", statement, re.DOTALL).groups()
        for name in names.split(","):
            star, bare, array = re.fullmatch(r"\s*(\*?)(\w+)((?:\[\d+\])*)\s*", name).groups()
            kind_of = kind if kind.startswith("nb_") else "int"
            found[bare] = kind_of + ("*" if star else "") + ("[]" if array else "")
    return found


def structs() -> dict[str, dict[str, str]]:
    plain = re.findall(r"typedef struct \{([^}]*)\} (nb_\w+_params);", HEADER)
    found = {name: c_fields(body) for body, name in plain if not name.endswith(PIXELS)}
    body = re.search(r"struct nb_elementwise \{([^}]*)\}", HEADER)
    return found | {"nb_elementwise": c_fields(body[1])}


STRUCTS = structs()
KINDS = {
    int: ("int",),
    parameters.Ints: ("int[]",),
    tuple[parameters.Ints, ...]: ("int[]",),
    parameters.Constant: ("int*",),
    parameters.Requantization: ("nb_requantization",),
    parameters.Function: ("nb_gemm_function*", "nb_depthwise_function*"),
    parameters.Symbol: ("nb_elements_function*",),
    ElementwiseOp: ("nb_elementwise",),
    Ring | None: ("nb_ring",),
    parameters.Rings | None: ("nb_ring[]",),
}


def test_every_struct_has_its_class():
    assert len(CLASSES) == len(Params.__subclasses__()) > 15
    assert set(CLASSES) | {"nb_elementwise"} == set(STRUCTS)


@pytest.mark.parametrize("struct", sorted(STRUCTS))
def test_fields_are_those_of_the_struct(struct):
    own = CLASSES.get(struct, ElementwiseOp)
    hints = typing.get_type_hints(own)
    fields = {f.name.rstrip("_"): KINDS[hints[f.name]] for f in dataclasses.fields(own)}
    assert set(fields) == set(STRUCTS[struct])
    for name, kinds in fields.items():
        assert STRUCTS[struct][name] in kinds, name


def test_the_order_of_what_is_initialized_by_position():
    assert [f.name for f in dataclasses.fields(ElementwiseOp)] == list(STRUCTS["nb_elementwise"])


def test_pixels_variants_hold_the_struct_that_they_are_named_after():
    pattern = r"typedef struct \{\s*(nb_\w+)_params whole;\s*nb_pixels pixels;\s*\} (nb_\w+);"
    found = re.findall(pattern, HEADER)
    assert found and all(outer == f"{inner}{PIXELS}" for inner, outer in found)
    whole = {f"{inner}_params" for inner, _ in found}
    assert whole == {each.STRUCT for each in typing.get_args(parameters.ElementsParams)}
