# SPDX-License-Identifier: Apache-2.0
"""Client of the firmware's serial protocol, over any stream of bytes.

Commands end with ``%``, answers with a line ``m-ready``; ``firmware/README.md`` lists them. The
same client talks to an emulator's UART, to the host build and to a board.
"""

import json
import random
import re
import time
from dataclasses import dataclass
from typing import Any, Protocol

from pydantic import ValidationError

from deploy.devices.banner import Banner
from deploy.devices.errors import (
    DeviceError,
    DeviceFaultError,
    GarbledAnswerError,
    NoAnswerError,
    RefusedError,
)

_CHUNK = 1024  # bytes of input a `db` command carries
_READY = "m-ready"
_SHOWN = 80  # characters of a line in a message


class ByteStream(Protocol):
    """Where bytes come from and go to.

    ``read`` returns what has arrived, waiting at most ``timeout`` seconds for the first byte
    (``b""`` then); both raise DeviceError where the other side is gone.
    """

    name: str

    def read(self, timeout: float) -> bytes: ...

    def write(self, data: bytes) -> None: ...


@dataclass(frozen=True)
class Inference:
    """What ``infer`` reported.

    Attributes:
        microseconds: all timed inferences together, by the device's clock.
        ticks: the same in core clocks; None where the device's counter was too short, or stood
            still.
        results: the first output after the loaded input, as real numbers.
    """

    microseconds: int
    ticks: int | None
    results: list[float]


@dataclass(frozen=True)
class Program:
    """What a device has in flash: bytes, and their CRC-32 in hex."""

    bytes: int
    crc32: str


@dataclass(frozen=True)
class Memory:
    """Bytes: the model's arena, the stack's reservation and the most ever used of it."""

    arena_bytes: int
    stack_bytes: int
    stack_used: int


class DeviceLink:
    """Sends commands and reads answers.

    Args:
        stream: the connection.
        timeout: seconds to wait for an answer, unless a call says otherwise.
    """

    def __init__(self, stream: ByteStream, *, timeout: float = 30.0) -> None:
        self._stream = stream
        self._timeout = timeout
        self._pending = b""

    def wait_for_banner(self, timeout: float | None = None) -> Banner:
        """Read the boot banner.

        Raises:
            DeviceError: none came in time, or the firmware is none of ours.
        """
        return self._find_banner(self._read_answer(timeout))

    def connect(self, timeout: float | None = None) -> Banner:
        """Reach a device that may be booting, waiting or in the middle of a command.

        Returns:
            Its boot banner.

        Raises:
            DeviceError: nothing answers, or what answers is no netbooster firmware.
        """
        limit = self._timeout if timeout is None else timeout
        try:
            self._align(limit)
        except NoAnswerError as error:
            raise NoAnswerError(
                f"{error}; is the firmware flashed, and are port and target the right ones?"
            ) from error
        return self._find_banner(self.command("banner", timeout=limit))

    def _find_banner(self, lines: list[str]) -> Banner:
        for line in lines:
            answer = self._object("banner", line) if line.startswith("{") else {}
            if "netbooster" in answer:
                try:
                    return Banner.model_validate(answer)
                except ValidationError as error:
                    raise self._garbled("banner", line) from error
        raise DeviceError(f"{self._stream.name}: the device runs no netbooster firmware")

    def synchronize(self) -> None:
        """End a command that was cut off, and forget what the device says to it."""
        self._align(self._timeout)

    def _align(self, timeout: float) -> None:
        """Send what the device has to refuse by quoting a number, and read on until it does: all
        answers before that one belong to what was said earlier, however late they come. Said
        again, with another number, where a device that was still booting did not hear it."""
        deadline = time.monotonic() + timeout
        patience = 1.0
        while True:
            number = random.randrange(10**8, 10**9)  # no input has that many bytes
            self._stream.write(f"%db load {number}%".encode())
            until = min(time.monotonic() + patience, deadline)
            try:
                while not any(
                    f"not {number}]" in line
                    for line in self._read_answer(max(until - time.monotonic(), 0.0))
                ):
                    pass
                return
            except NoAnswerError as error:
                if until == deadline:
                    raise NoAnswerError(
                        f"{self._stream.name}: no answer within {timeout:g} s"
                    ) from error
            patience *= 2

    def command(self, text: str, *, timeout: float | None = None) -> list[str]:
        """Send one command (without ``%``) and return the answer's lines before ``m-ready``.

        Raises:
            RefusedError: the device answered with an error.
            NoAnswerError: too late, or not at all.
            DeviceFaultError: it ran into a HardFault.
        """
        self._stream.write(text.encode("ascii") + b"%")
        lines = self._read_answer(timeout)
        for line in lines:
            if line.startswith("m-fault-"):
                raise self._fault(line)
        for line in lines:
            if line.startswith("e-["):
                shown = text if len(text) <= 40 else text[:37] + "..."
                raise RefusedError(f"{self._stream.name}: {shown}: {line[3:].removesuffix(']')}")
        return lines

    def load_input(self, data: bytes) -> None:
        """Send the input tensor's bytes.

        Raises:
            RefusedError: wrong size.
            GarbledAnswerError: an answer out of order.
        """
        self.command(f"db load {len(data)}")
        lines: list[str] = []
        for start in range(0, len(data), _CHUNK):
            lines = self.command("db " + data[start : start + _CHUNK].hex())
        if "m-load-done" not in lines:
            raise self._garbled("db", *lines)

    def infer(self, count: int = 1, warm_up: int = 0, *, timeout: float | None = None) -> Inference:
        """Run ``warm_up`` untimed and ``count`` timed inferences on the loaded input."""
        lines = self.command(f"infer {count} {warm_up}", timeout=timeout)
        laps = [int(n) for line in lines for n in re.findall(r"^m-lap-us-(\d+)$", line)]
        ticks = [int(n) for line in lines for n in re.findall(r"^m-lap-ticks-(\d+)$", line)]
        if len(laps) != 2:
            raise self._garbled("infer, which reported no time", *lines)
        return Inference(laps[1] - laps[0], ticks[0] if ticks else None, self._results(lines))

    def profile_layers(self, *, timeout: float | None = None) -> list[dict[str, Any]]:
        """One inference on the loaded input, by layer or chain of layers: index of the first in
        plan.json, number of layers, ticks (or None)."""
        lines = self.command("profile layers", timeout=timeout)
        texts = [line.removeprefix("m-layer-") for line in lines if line.startswith("m-layer-")]
        return [self._object("profile layers", text) for text in texts]

    def results(self) -> list[float]:
        """The outputs as real numbers, rounded to thousandths."""
        return self._results(self.command("results"))

    def output(self) -> bytes:
        """The outputs' bytes."""
        text = self._value("output", "m-output-")
        try:
            return bytes.fromhex(text)
        except ValueError as error:
            raise self._garbled("output", text) from error

    def memory(self) -> Memory:
        """Arena and stack."""
        text = self._value("memory", "m-memory-")
        try:
            return Memory(**{key: int(n) for key, n in self._object("memory", text).items()})
        except (TypeError, ValueError) as error:
            raise self._garbled("memory", text) from error

    def firmware(self) -> Program:
        """What lies in the device's flash; a second for a megabyte."""
        text = self._value("firmware", "m-firmware-")
        answer = self._object("firmware", text)
        try:
            return Program(int(answer["bytes"]), str(answer["crc32"]))
        except (KeyError, TypeError, ValueError) as error:
            raise self._garbled("firmware", text) from error

    def self_test(self) -> None:
        """Check clock, memory and stack on the device; overwrites its input.

        Raises:
            RefusedError: names the check that failed.
        """
        self.command("selftest")

    def _value(self, command: str, prefix: str) -> str:
        for line in self.command(command):
            if line.startswith(prefix):
                return line[len(prefix) :]
        raise GarbledAnswerError(f"{self._stream.name}: no answer to {command}")

    def _object(self, command: str, text: str) -> dict[str, Any]:
        try:
            answer = json.loads(text)
        except ValueError as error:
            raise self._garbled(command, text) from error
        if not isinstance(answer, dict):
            raise self._garbled(command, text)
        return answer

    def _garbled(self, command: str, *lines: str) -> GarbledAnswerError:
        shown = " | ".join(lines)[:_SHOWN] or "nothing"
        return GarbledAnswerError(f"{self._stream.name}: garbled answer to {command}: {shown}")

    def _results(self, lines: list[str]) -> list[float]:
        for line in lines:
            if match := re.fullmatch(r"m-results-\[(.*)\]", line):
                try:
                    return [float(number) for number in match[1].split(",")]
                except ValueError as error:
                    raise self._garbled("results", line) from error
        raise GarbledAnswerError(f"{self._stream.name}: the device sent no results")

    def _read_answer(self, timeout: float | None) -> list[str]:
        limit = self._timeout if timeout is None else timeout
        deadline = time.monotonic() + limit
        lines: list[str] = []
        while True:
            while b"\n" in self._pending:
                raw, self._pending = self._pending.split(b"\n", 1)
                line = raw.decode("ascii", "replace").strip()
                if line == _READY:
                    return lines
                if line:
                    lines.append(line)
            left = deadline - time.monotonic()
            if left <= 0:
                last = lines[-1] if lines else self._pending.decode("ascii", "replace")
                said = f"; last it said: {last[:_SHOWN]}" if last else ""
                raise NoAnswerError(f"{self._stream.name}: no answer within {limit:g} s{said}")
            self._pending += self._stream.read(min(left, 1.0))

    def _fault(self, line: str) -> DeviceFaultError:
        try:
            registers = json.loads(line.removeprefix("m-fault-"))
        except ValueError:
            registers = {}
        registers = registers if isinstance(registers, dict) else {}
        what = "stack overflow" if registers.get("stack_overflow") else "HardFault"
        shown = " ".join(
            f"{name}={registers[name]}" for name in ("pc", "lr", "sp", "cfsr") if name in registers
        )
        return DeviceFaultError(f"{self._stream.name}: {what} on the device ({shown})", registers)
