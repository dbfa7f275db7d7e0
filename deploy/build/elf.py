"""The little that is needed of a 32-bit little-endian ELF file: sections and symbols."""

import struct
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from deploy.core.errors import DeployError

_HEADER = struct.Struct("<16sHHIIIIIHHHHHH")
_SECTION = struct.Struct("<IIIIIIIIII")
_SYMBOL = struct.Struct("<IIIBBH")
_SYMTAB = 2
_NOBITS = 8
_ALLOCATED = 2
_FUNCTION = 2


@dataclass(frozen=True)
class Section:
    """A section: ``loaded`` where it takes memory on the target, ``bits`` where it has bytes."""

    name: str
    address: int
    size: int
    loaded: bool
    bits: bool


@dataclass(frozen=True)
class Symbol:
    """A named address; bit 0 of Thumb functions is cleared."""

    name: str
    address: int
    size: int
    is_function: bool


class Elf:
    """Reads a firmware.

    Raises:
        DeployError: the file cannot be read or is no 32-bit little-endian ELF.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._data = path.read_bytes()
        except OSError as error:
            raise DeployError(f"cannot read {path}: {error.strerror}") from error
        if self._data[:6] != b"\x7fELF\x01\x01":
            raise DeployError(f"{path} is no 32-bit ELF firmware; build it again")
        try:
            header = _HEADER.unpack_from(self._data)
            self._headers = [
                _SECTION.unpack_from(self._data, header[6] + i * header[11])
                for i in range(header[12])
            ]
            names = self._headers[header[13]]
            self.sections = [
                Section(
                    self._text(names[4], raw[0]),
                    raw[3],
                    raw[5],
                    bool(raw[2] & _ALLOCATED),
                    raw[1] != _NOBITS,
                )
                for raw in self._headers
            ]
        except (struct.error, IndexError, ValueError) as error:
            raise DeployError(f"{path} is a damaged ELF file; build it again") from error

    def _text(self, table: int, offset: int) -> str:
        end = self._data.index(b"\0", table + offset)
        return self._data[table + offset : end].decode("ascii", "replace")

    @cached_property
    def symbols(self) -> dict[str, Symbol]:
        """Named functions and objects."""
        found: dict[str, Symbol] = {}
        for raw in self._headers:
            if raw[1] != _SYMTAB:
                continue
            strings = self._headers[raw[6]][4]
            for offset in range(raw[4], raw[4] + raw[5], _SYMBOL.size):
                name, value, size, info, _, _ = _SYMBOL.unpack_from(self._data, offset)
                function = info & 15 == _FUNCTION
                text = self._text(strings, name)
                if text and not text.startswith("$"):
                    found[text] = Symbol(text, value & ~1 if function else value, size, function)
        return found

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
