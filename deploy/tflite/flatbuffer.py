# SPDX-License-Identifier: Apache-2.0
"""A bounds-checked reader of flatbuffers.

The generated object API trusts offsets and vector lengths, so a hostile file can make it loop for
billions of elements. This reader checks every offset against the file and never recurses, so the
work is bounded by the file's size. :mod:`deploy.tflite.schema` has the fields of TFLite's tables.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from deploy.core.errors import DeployError


@dataclass(frozen=True)
class Scalar:
    """A field with one number: its ``struct`` letter, and its value where a table leaves it out."""

    number: int
    layout: str
    default: int | float


@dataclass(frozen=True)
class Vector:
    """A field with a vector of numbers of a numpy type."""

    number: int
    dtype: str


@dataclass(frozen=True)
class Text:
    """A field with a string."""

    number: int


@dataclass(frozen=True)
class Child:
    """A field with a table."""

    number: int


@dataclass(frozen=True)
class Children:
    """A field with a vector of tables."""

    number: int


class FlatBuffer:
    """The bytes of one file; every read is checked."""

    def __init__(self, data: bytes, name: str) -> None:
        self.data = data
        self.name = name

    def fail(self, what: str) -> DeployError:
        """The error for a file that breaks the format."""
        return DeployError(
            f"{self.name}: not a usable TFLite flatbuffer ({what}); export the model again"
        )

    def read(self, layout: str, position: int) -> int | float:
        """One little-endian scalar (``struct`` letter) at ``position``."""
        size = struct.calcsize("<" + layout)
        if position < 0 or position + size > len(self.data):
            raise self.fail(f"offset {position} is outside the {len(self.data)} bytes")
        value: int | float = struct.unpack_from("<" + layout, self.data, position)[0]
        return value

    def read_int(self, layout: str, position: int) -> int:
        """One little-endian integer at ``position``."""
        return int(self.read(layout, position))

    def root(self) -> "Table":
        """The root table."""
        return Table(self, self.read_int("I", 0))


class Table:
    """One table; fields are asked for by what the schema says about them."""

    def __init__(self, buffer: FlatBuffer, position: int) -> None:
        self.buffer = buffer
        self.position = position
        self._vtable = position - buffer.read_int("i", position)
        self._vtable_size = buffer.read_int("H", self._vtable)
        if self._vtable_size < 4 or self._vtable + self._vtable_size > len(buffer.data):
            raise buffer.fail(f"broken vtable at {self._vtable}")

    def _place(self, number: int) -> int | None:
        slot = 4 + 2 * number
        if slot + 2 > self._vtable_size:
            return None
        offset = self.buffer.read_int("H", self._vtable + slot)
        return self.position + offset if offset else None

    def integer(self, field: Scalar) -> int:
        """An integer or enum field."""
        return int(self.real(field))

    def truth(self, field: Scalar) -> bool:
        """A bool field."""
        return bool(self.real(field))

    def real(self, field: Scalar) -> int | float:
        """A field with any number."""
        position = self._place(field.number)
        return field.default if position is None else self.buffer.read(field.layout, position)

    def table(self, field: Child) -> "Table | None":
        """A table field, or None where it is absent."""
        position = self._place(field.number)
        if position is None:
            return None
        return Table(self.buffer, position + self.buffer.read_int("I", position))

    def _vector(self, number: int, item_size: int) -> tuple[int, int] | None:
        position = self._place(number)
        if position is None:
            return None
        start = position + self.buffer.read_int("I", position)
        count = self.buffer.read_int("I", start)
        if start + 4 + count * item_size > len(self.buffer.data):
            raise self.buffer.fail(f"vector of {count} items at {start} ends outside the file")
        return start + 4, count

    def vector(self, field: Vector) -> np.ndarray | None:
        """A vector of numbers as a read-only array (no copy), or None where it is absent."""
        dtype = np.dtype(field.dtype)
        found = self._vector(field.number, dtype.itemsize)
        if found is None:
            return None
        return np.frombuffer(
            self.buffer.data, dtype=dtype.newbyteorder("<"), count=found[1], offset=found[0]
        )

    def length(self, field: Children) -> int:
        """How many items a vector of tables has."""
        found = self._vector(field.number, 4)
        return 0 if found is None else found[1]

    def tables(self, field: Children) -> Iterator["Table"]:
        """The items of a vector of tables."""
        found = self._vector(field.number, 4)
        if found is not None:
            start, count = found
            for item in range(start, start + 4 * count, 4):
                yield Table(self.buffer, item + self.buffer.read_int("I", item))

    def text(self, field: Text) -> str:
        """A string field; bytes that are not UTF-8 are replaced; empty where it is absent."""
        found = self._vector(field.number, 1)
        if found is None:
            return ""
        return self.buffer.data[found[0] : found[0] + found[1]].decode("utf-8", "replace")
