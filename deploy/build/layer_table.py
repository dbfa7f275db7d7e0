# SPDX-License-Identifier: Apache-2.0
"""The layers of a built firmware: the table ``nb_layers`` that generated code holds them in."""

import re
from dataclasses import dataclass

from deploy.build.elf import Elf
from deploy.core.errors import DeployError
from deploy.core.layers import ENTRY_BYTES, RUN, TABLE, layer_name


@dataclass(frozen=True)
class LayerTable:
    """Entry i lies at ``address`` + i * ``entry_bytes``; ``names`` are those of plan.json."""

    address: int
    entry_bytes: int
    names: tuple[str, ...]

    def layer_at(self, address: int) -> str | None:
        """The layer whose entry begins at an address."""
        index, rest = divmod(address - self.address, self.entry_bytes)
        return self.names[index] if rest == 0 and 0 <= index < len(self.names) else None


def read_layer_table(elf: Elf) -> LayerTable | None:
    """The firmware's table; None where it has none (another engine, or layers as functions).

    Raises:
        DeployError: entries of another size: the firmware is of another version.
    """
    symbol = elf.symbols.get(TABLE)
    if symbol is None or RUN not in elf.symbols:
        return None
    count, rest = divmod(symbol.size, ENTRY_BYTES)
    if rest:
        raise DeployError(f"{elf.path} is of another version of netbooster; build it again")
    return LayerTable(symbol.address, ENTRY_BYTES, tuple(map(layer_name, range(count))))


def layer_functions(elf: Elf) -> list[str]:
    """Layers that are functions of their own, in order: generated code has none, stand-ins do."""
    found = (re.fullmatch(r"nb_layer_(\d+)", name) for name in elf.symbols)
    return [match[0] for match in sorted((m for m in found if m), key=lambda m: int(m[1]))]
