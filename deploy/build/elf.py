# SPDX-License-Identifier: Apache-2.0
"""Facts of a firmware's ELF file: sections, segments and symbols.

pyelftools reads the file; a damaged one is refused here, in one line, whatever it makes the
library stumble over.
"""

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from elftools.elf.constants import SH_FLAGS
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from deploy.core.errors import DeployError

_SECTION_HEADER, _PROGRAM_HEADER, _SYMBOL = 40, 32, 16  # bytes in a 32-bit file


@dataclass(frozen=True)
class Section:
    """A section: ``loaded`` where it takes memory on the target, ``bits`` where it has bytes."""

    name: str
    address: int
    size: int
    loaded: bool
    bits: bool


@dataclass(frozen=True)
class LoadSegment:
    """Bytes that are loaded: ``address`` is where they lie before the program starts."""

    address: int
    data: bytes


@dataclass(frozen=True)
class Symbol:
    """A named address; bit 0 of Thumb functions is cleared."""

    name: str
    address: int
    size: int
    is_function: bool


class Elf:
    """Reads a firmware.

    Attributes:
        sections: in the file's order.
        segments: those with bytes to load, in the file's order.
        symbols: named functions and objects.

    Raises:
        DeployError: the file cannot be read, is no 32-bit little-endian ELF, or is damaged.
    """

    sections: list[Section]
    segments: list[LoadSegment]
    symbols: dict[str, Symbol]

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            data = path.read_bytes()
        except OSError as error:
            raise DeployError(f"cannot read {path}: {error.strerror or error}") from error
        if data[:6] != b"\x7fELF\x01\x01":
            raise DeployError(f"{path} is no 32-bit ELF firmware; build it again")
        try:
            self._read(ELFFile(BytesIO(data)))
        except Exception as error:  # the library has no one type for what a damaged file does
            raise DeployError(f"{path} is a damaged ELF file; build it again") from error

    def _read(self, file: ELFFile) -> None:
        header = file.header
        for count, size, due in (
            (header["e_shnum"], header["e_shentsize"], _SECTION_HEADER),
            (header["e_phnum"], header["e_phentsize"], _PROGRAM_HEADER),
        ):
            if count and size != due:
                raise ValueError(f"headers of {size} bytes")
        # A number of 0 tells the library to look for a larger one where no section is.
        sections = list(file.iter_sections()) if header["e_shnum"] else []
        self.sections = [
            Section(
                section.name,
                section["sh_addr"],
                section["sh_size"],
                bool(section["sh_flags"] & SH_FLAGS.SHF_ALLOC),
                section["sh_type"] != "SHT_NOBITS",
            )
            for section in sections
        ]
        self.segments = [
            LoadSegment(segment["p_paddr"], segment.data())
            for segment in file.iter_segments("PT_LOAD")
            if segment["p_filesz"]
        ]
        self.symbols = {}
        for table in sections:
            if isinstance(table, SymbolTableSection) and table["sh_type"] == "SHT_SYMTAB":
                if table["sh_entsize"] != _SYMBOL:
                    raise ValueError(f"symbols of {table['sh_entsize']} bytes")
                for symbol in table.iter_symbols():
                    if symbol.name and not symbol.name.startswith("$"):
                        self.symbols[symbol.name] = _symbol(symbol)

    def functions(self) -> list[Symbol]:
        """Functions by address; of several names of one address, the first by alphabet."""
        found: dict[int, Symbol] = {}
        for symbol in sorted(self.symbols.values(), key=lambda symbol: symbol.name):
            if symbol.is_function:
                found.setdefault(symbol.address, symbol)
        return [found[address] for address in sorted(found)]

    def size(self, section: str) -> int:
        """Bytes of a section; 0 where there is none."""
        return sum(s.size for s in self.sections if s.name == section)

    def address(self, symbol: str) -> int:
        """Address of a symbol.

        Raises:
            DeployError: the firmware has no such symbol.
        """
        if symbol not in self.symbols:
            raise DeployError(f"{self.path} has no symbol {symbol}; build it again")
        return self.symbols[symbol].address

    def function_at(self, address: int) -> str | None:
        """Name of the function that holds an address."""
        for symbol in self.symbols.values():
            inside = symbol.address <= (address & ~1) < symbol.address + max(symbol.size, 1)
            if symbol.is_function and inside:
                return symbol.name
        return None


def _symbol(entry: Any) -> Symbol:
    function = entry["st_info"]["type"] == "STT_FUNC"
    address = entry["st_value"]
    return Symbol(entry.name, address & ~1 if function else address, entry["st_size"], function)
