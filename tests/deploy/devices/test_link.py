# SPDX-License-Identifier: Apache-2.0
"""Answers that cannot be understood: one type, one line, which shows what the device said."""

import pytest

from deploy.devices.errors import DeviceFaultError, GarbledAnswerError
from deploy.devices.link import DeviceLink


class _Line:
    """A stream that answers every command with the same lines."""

    name = "line"

    def __init__(self, said: str) -> None:
        self._said = said.encode("latin-1")
        self._pending = b""

    def write(self, data: bytes) -> None:
        self._pending += self._said + b"\r\nm-ready\r\n"

    def read(self, timeout: float) -> bytes:
        data, self._pending = self._pending, b""
        return data


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("output", "m-output-0g"),
        ("output", "m-output"),
        ("memory", 'm-memory-{"arena_bytes":1'),
        ("memory", "m-memory-7"),
        ("memory", 'm-memory-{"arena_bytes":1,"stack_bytes":2}'),
        ("memory", 'm-memory-{"arena_bytes":"x","stack_bytes":2,"stack_used":3}'),
        ("firmware", 'm-firmware-{"bytes":[]}'),
        ("results", "m-results-[0.5,\xff]"),
        ("infer", "m-lap-us-1"),
        ("profile_layers", "m-layer-{"),
        ("banner", '{"netbooster":1,"inputs":7}'),
        ("banner", "{\xff"),
    ],
)
def test_garbled_answers_are_one_type_and_show_the_line(command, said):
    link = DeviceLink(_Line(said), timeout=0.2)
    asked = (lambda: link._find_banner([said])) if command == "banner" else getattr(link, command)
    with pytest.raises(GarbledAnswerError, match="line: ") as error:
        asked()
    assert "\n" not in str(error.value)


def test_a_fault_with_garbled_registers_is_still_a_fault():
    for said in ("m-fault-{", "m-fault-7", 'm-fault-{"pc":"xyz","stack":["1",null]}'):
        with pytest.raises(DeviceFaultError, match="HardFault on the device"):
            DeviceLink(_Line(said), timeout=0.2).command("infer 1 0")
