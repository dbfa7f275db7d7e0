# SPDX-License-Identifier: Apache-2.0
"""What a firmware's flash holds, by kind, from the symbols of its ELF file."""

import re
from dataclasses import dataclass

from deploy.build.elf import Elf
from deploy.codegen import Compilation
from deploy.core.errors import DeployError

_CONSTANT = re.compile(r"nb_(\d{3,})_(\w+)")
# A line of the linker's map: address, size, object file.
_CONTRIBUTION = re.compile(r"(?m)^ \S*\s+0x([0-9a-f]+)\s+0x([0-9a-f]+)\s(\S+\.obj?)$")
# Operators with weights: which axis of them are the output channels.
_WEIGHTED = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 0}
# Bias, multiplier and shift as other engines keep them. Ours take 8: `beyond` is less for that.
TABLE_BYTES_A_CHANNEL = 9


@dataclass(frozen=True)
class FlashUse:
    """Bytes.

    Attributes:
        code: all that is neither weights nor tables: instructions, vectors, parameters, other
            constants, alignment, and the harness that talks to the host.
        engine: of that, kernels and generated code; the rest is harness, port and C library.
        tables: bias, multipliers, shifts and look-up tables.
        weights: the weights as they are stored.
        beyond: the total less the weights' own bytes, as the .tflite file has them, and less 9
            bytes for every output channel.
        total: everything in flash.
    """

    code: int
    engine: int
    tables: int
    weights: int
    beyond: int
    total: int


def measure_flash(elf: Elf, map_text: str, compilation: Compilation) -> FlashUse:
    """Sizes of a firmware.

    Args:
        map_text: the linker's map of it, which says what came from which object file.

    Raises:
        DeployError: the firmware is not of this compilation.
    """
    kinds: dict[str, str] = {}
    own = channels = 0
    for number, layer in enumerate(compilation.flow.layers):
        for field, constant in layer.constants():
            kinds[f"nb_{number:03d}_{field}"] = constant.kind
    graph = compilation.flow.graph
    for op in graph.operators:
        if op.kind in _WEIGHTED:
            weights = graph.input(op, 1)
            own += weights.bytes
            channels += weights.shape[_WEIGHTED[op.kind]]
    sizes = {"weights": 0, "tables": 0}
    for symbol in elf.symbols.values():
        if not symbol.is_function and _CONSTANT.fullmatch(symbol.name):
            if symbol.name not in kinds:
                raise DeployError(f"{elf.path} has {symbol.name}: it is not of this compilation")
            sizes[kinds[symbol.name]] += symbol.size
    total = sum(
        section.size
        for section in elf.sections
        if section.loaded and section.bits and section.name != ".stack"
    )
    return FlashUse(
        code=total - sizes["weights"] - sizes["tables"],
        engine=_engine_bytes(elf, map_text),
        tables=sizes["tables"],
        weights=sizes["weights"],
        beyond=total - own - TABLE_BYTES_A_CHANNEL * channels,
        total=total,
    )


def _engine_bytes(elf: Elf, map_text: str) -> int:
    """Bytes of ``.text`` that came from kernels and generated code."""
    text = next((section for section in elf.sections if section.name == ".text"), None)
    total = 0
    for match in _CONTRIBUTION.finditer(map_text):
        address, size = int(match[1], 16), int(match[2], 16)
        inside = text is not None and text.address <= address < text.address + text.size
        if inside and "nb_kernels.dir" in match[3]:
            total += size
    if total == 0:
        raise DeployError(f"{elf.path}: the linker's map names no kernel; build it again")
    return total
