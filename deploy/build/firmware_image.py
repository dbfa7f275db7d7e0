# SPDX-License-Identifier: Apache-2.0
"""The bytes that a flash tool writes, from a firmware's ELF file."""

import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

from deploy.build.elf import Elf
from deploy.core.errors import DeployError

_LARGEST = 64 << 20


@dataclass(frozen=True)
class FirmwareImage:
    """A program in flash: first address and bytes; gaps between its parts are zeros."""

    address: int
    data: bytes

    @property
    def crc32(self) -> str:
        """CRC-32 in hex, as the device computes it over the same bytes."""
        return f"{zlib.crc32(self.data):08x}"

    def to_uf2(self, family: int) -> bytes:
        """The image in the UF2 format: blocks of 512 bytes with 256 bytes of payload each."""
        parts = [self.data[i : i + 256] for i in range(0, len(self.data), 256)]
        blocks = []
        for number, part in enumerate(parts):
            head = struct.pack(
                "<8I", 0x0A324655, 0x9E5D5157, 0x2000, self.address + 256 * number, 256,
                number, len(parts), family,
            )  # fmt: skip
            blocks.append(head + part.ljust(476, b"\0") + struct.pack("<I", 0x0AB16F30))
        return b"".join(blocks)


def read_image(elf: Path) -> FirmwareImage:
    """Lay the ELF file's loadable segments end to end, at their load addresses.

    Raises:
        DeployError: the file cannot be read, or is no firmware.
    """
    segments = Elf(elf).segments
    if not segments:
        raise DeployError(f"{elf} holds nothing to write to flash; build it again")
    start = min(segment.address for segment in segments)
    end = max(segment.address + len(segment.data) for segment in segments)
    if end - start > _LARGEST:
        raise DeployError(f"{elf} spans {end - start:,} bytes; its parts lie too far apart")
    image = bytearray(end - start)
    for segment in segments:
        offset = segment.address - start
        image[offset : offset + len(segment.data)] = segment.data
    return FirmwareImage(start, bytes(image))
