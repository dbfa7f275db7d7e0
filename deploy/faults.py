"""Turns the registers of a HardFault into the function and the layer where it happened."""

import re

from deploy.elf import Elf
from deploy.errors import DeployError
from deploy.serial_link import DeviceFaultError


def explain_fault(fault: DeviceFaultError, elf: Elf) -> DeployError:
    """The same error with function and layer, from the firmware's symbols.

    The layer is the innermost one among the program counter and the return addresses on the
    stack.
    """
    registers = fault.registers
    stack = registers.get("stack", [])
    words = [registers.get("pc"), registers.get("lr"), *(stack if isinstance(stack, list) else [])]
    places = [elf.function_at(int(word, 16)) for word in words if isinstance(word, str)]
    function = places[0] if isinstance(registers.get("pc"), str) else None
    layer = next((name for name in places if name and re.fullmatch(r"nb_layer_\d+", name)), None)
    where = [f"in function {function}"] if function and function != layer else []
    where.append(f"in layer {layer}" if layer else "in no layer")
    return DeployError(f"{fault}: {', '.join(where)}")
