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

from deploy.core.errors import DeployError

_CHUNK = 1024  # bytes of input a `db` command carries
_READY = "m-ready"


class ByteStream(Protocol):
    """Where bytes come from and go to.

    ``read`` returns what has arrived, waiting at most ``timeout`` seconds for the first byte
    (``b""`` then); both raise DeployError where the other side is gone.
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
class Memory:
    """Bytes: the model's arena, the stack's reservation and the most ever used of it."""

    arena_bytes: int
    stack_bytes: int
    stack_used: int


class DeviceFaultError(DeployError):
    """The device reported a HardFault and halted; ``registers`` are what it sent."""

    def __init__(self, message: str, registers: dict[str, Any]) -> None:
        super().__init__(message)
        self.registers = registers


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

    def wait_for_banner(self, timeout: float | None = None) -> dict[str, Any]:
        """Read the boot banner: model, its hash, target, arena, inputs and outputs.

        Raises:
            DeployError: none came in time, or the firmware is none of ours.
        """
        for line in self._read_answer(timeout):
            if line.startswith("{"):
                try:
                    banner = json.loads(line)
                except ValueError as error:
                    raise DeployError(
                        f"{self._stream.name}: garbled boot banner: {line}"
                    ) from error
                if isinstance(banner, dict) and "netbooster" in banner:
                    return banner
        raise DeployError(f"{self._stream.name}: the device runs no netbooster firmware")

    def connect(self, timeout: float | None = None) -> dict[str, Any]:
        """Reach a device that may be booting, waiting or in the middle of a command.

        Returns:
            Its boot banner.

        Raises:
            DeployError: nothing answers, or what answers is no netbooster firmware.
        """
        limit = self._timeout if timeout is None else timeout
        try:
            self._align(limit)
        except DeployError as error:
            if "no answer" not in str(error):
                raise
            raise DeployError(
                f"{error}; is the firmware flashed, and are port and target the right ones?"
            ) from error
        for line in self.command("banner", timeout=limit):
            try:
                banner = json.loads(line) if line.startswith("{") else None
            except ValueError as error:
                raise DeployError(f"{self._stream.name}: garbled banner: {line[:80]}") from error
            if isinstance(banner, dict) and "netbooster" in banner:
                return banner
        raise DeployError(f"{self._stream.name}: the device runs no netbooster firmware")

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
            except DeployError as error:
                if "no answer" not in str(error):
                    raise
                if until == deadline:
                    raise DeployError(
                        f"{self._stream.name}: no answer within {timeout:g} s"
                    ) from error
            patience *= 2

    def command(self, text: str, *, timeout: float | None = None) -> list[str]:
        """Send one command (without ``%``) and return the answer's lines before ``m-ready``.

        Raises:
            DeployError: the device answered with an error, too late or not at all.
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
                raise DeployError(f"{self._stream.name}: {shown}: {line[3:].removesuffix(']')}")
        return lines

    def load_input(self, data: bytes) -> None:
        """Send the input tensor's bytes.

        Raises:
            DeployError: wrong size, or an answer out of order.
        """
        self.command(f"db load {len(data)}")
        lines: list[str] = []
        for start in range(0, len(data), _CHUNK):
            lines = self.command("db " + data[start : start + _CHUNK].hex())
        if "m-load-done" not in lines:
            raise DeployError(f"{self._stream.name}: the device did not confirm the input")

    def infer(self, count: int = 1, warm_up: int = 0, *, timeout: float | None = None) -> Inference:
        """Run ``warm_up`` untimed and ``count`` timed inferences on the loaded input."""
        lines = self.command(f"infer {count} {warm_up}", timeout=timeout)
        laps = [int(n) for line in lines for n in re.findall(r"^m-lap-us-(\d+)$", line)]
        ticks = [int(n) for line in lines for n in re.findall(r"^m-lap-ticks-(\d+)$", line)]
        if len(laps) != 2:
            raise DeployError(f"{self._stream.name}: infer reported no time")
        return Inference(laps[1] - laps[0], ticks[0] if ticks else None, self._results(lines))

    def profile_layers(self, *, timeout: float | None = None) -> list[dict[str, Any]]:
        """One inference on the loaded input, by layer or chain of layers: index of the first in
        plan.json, number of layers, ticks (or None)."""
        lines = self.command("profile layers", timeout=timeout)
        texts = [line.removeprefix("m-layer-") for line in lines if line.startswith("m-layer-")]
        try:
            return [json.loads(text) for text in texts]
        except ValueError as error:
            raise DeployError(f"{self._stream.name}: garbled answer to profile layers") from error

    def results(self) -> list[float]:
        """The outputs as real numbers, rounded to thousandths."""
        return self._results(self.command("results"))

    def output(self) -> bytes:
        """The outputs' bytes."""
        return bytes.fromhex(self._value("output", "m-output-"))

    def memory(self) -> Memory:
        """Arena and stack."""
        try:
            return Memory(**json.loads(self._value("memory", "m-memory-")))
        except (ValueError, TypeError) as error:
            raise DeployError(f"{self._stream.name}: garbled answer to memory") from error

    def self_test(self) -> None:
        """Check clock, memory and stack on the device; overwrites its input.

        Raises:
            DeployError: names the check that failed.
        """
        self.command("selftest")

    def _value(self, command: str, prefix: str) -> str:
        for line in self.command(command):
            if line.startswith(prefix):
                return line[len(prefix) :]
        raise DeployError(f"{self._stream.name}: no answer to {command}")

    def _results(self, lines: list[str]) -> list[float]:
        for line in lines:
            if match := re.fullmatch(r"m-results-\[(.*)\]", line):
                return [float(number) for number in match[1].split(",")]
        raise DeployError(f"{self._stream.name}: the device sent no results")

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
                said = f"; last it said: {last[:80]}" if last else ""
                raise DeployError(f"{self._stream.name}: no answer within {limit:g} s{said}")
            self._pending += self._stream.read(min(left, 1.0))

    def _fault(self, line: str) -> DeviceFaultError:
        try:
            registers = json.loads(line.removeprefix("m-fault-"))
        except ValueError:
            registers = {}
        what = "stack overflow" if registers.get("stack_overflow") else "HardFault"
        shown = " ".join(
            f"{name}={registers[name]}" for name in ("pc", "lr", "sp", "cfsr") if name in registers
        )
        return DeviceFaultError(f"{self._stream.name}: {what} on the device ({shown})", registers)
