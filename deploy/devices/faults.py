# SPDX-License-Identifier: Apache-2.0
"""Turns the registers of a HardFault into the function and the layer where it happened."""

import itertools
import re

from deploy.build.elf import Elf
from deploy.build.layer_table import read_layer_table
from deploy.core.layers import RUN
from deploy.devices.errors import DeviceFaultError


def explain_fault(fault: DeviceFaultError, elf: Elf) -> DeviceFaultError:
    """The same error with function and layer, from the firmware's symbols.

    A layer that is a function of its own is the innermost one among the program counter and the
    return addresses on the stack. Generated code's layers are told apart by what ``nb_layer_run``
    leaves on the stack.
    """
    registers = fault.registers
    raw = registers.get("stack", [])
    stack = [word for word in map(_word, raw if isinstance(raw, list) else []) if word is not None]
    near = [_word(registers.get(name)) for name in ("pc", "lr")]
    places = [None if word is None else elf.function_at(word) for word in [*near, *stack]]
    function = places[0]
    layer = next((name for name in places if name and re.fullmatch(r"nb_layer_\d+", name)), None)
    layer = layer or _layer_behind_return(stack, elf)
    where = [f"in function {function}"] if function and function != layer else []
    where.append(f"in layer {layer}" if layer else "in no layer")
    return DeviceFaultError(
        f"{fault}: {', '.join(where)}", registers, function=function, layer=layer
    )


def _word(text: object) -> int | None:
    """A register's value; None where the line garbled it."""
    try:
        return int(str(text), 16)
    except ValueError:
        return None


def _layer_behind_return(stack: list[int], elf: Elf) -> str | None:
    """The layer whose address follows a return address into ``nb_layer_run``: the outermost one,
    because layers do not nest, and what lies deeper is left over from an earlier layer."""
    table = read_layer_table(elf)
    found = None
    for word, following in itertools.pairwise(stack):
        if table is not None and elf.function_at(word) == RUN:
            found = table.layer_at(following) or found
    return found
