"""Accuracy and time on a device: a board on a serial port, or an emulated one.

Both speak through the same :class:`~deploy.devices.serial_link.DeviceLink`. Every answer is
written down as it comes, so that a pulled cable, a dead emulator or Ctrl-C costs one image: the
same command goes on from there. Times of a board are measured; an emulator gives instructions and
estimated cycles; the two never meet in one number.
"""

import contextlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Protocol

import numpy as np

from deploy.build.elf import Elf
from deploy.core.errors import DeployError
from deploy.devices import open_session
from deploy.devices.faults import explain_fault
from deploy.devices.serial_link import DeviceFaultError, DeviceLink
from deploy.devices.serial_port import LinkLostError, SerialPort, is_virtual
from deploy.targets import Target
from netbooster.common.files import write_atomic

_TRIES = 3  # of one image, before the line counts as too noisy
_RECONNECT_SECONDS = 60.0
_ANSWER_SECONDS = 30.0  # to anything but an inference


@dataclass(frozen=True)
class Lap:
    """What one inference took; what the device cannot tell is None.

    Attributes:
        microseconds, cycles: measured, on a board alone.
        instructions, cycles_estimated: counted, in an emulator alone.
        layers: in an emulator, per layer.
    """

    microseconds: int | None = None
    cycles: int | None = None
    instructions: int | None = None
    cycles_estimated: int | None = None
    layers: list[dict[str, Any]] = field(default_factory=list)


class Device(Protocol):
    """A device that is connected.

    ``counting`` says where its numbers come from; ``emulator`` is None for a board.
    """

    link: DeviceLink
    banner: dict[str, Any]
    counting: str
    emulator: str | None

    def infer(self) -> Lap: ...

    def close(self) -> None: ...


class BoardDevice:
    """A device on a serial port.

    Args:
        target: which board is expected there.
        port: see :class:`~deploy.devices.serial_port.SerialPort`.
        elf: names functions and layers of a HardFault.
        timeout: seconds for one inference.

    Raises:
        DeployError: no port, no answer, a failed self-test, another board, or a clock that is not
            full speed.
    """

    emulator: str | None = None

    def __init__(self, target: Target, port: str, elf: Path | None, *, timeout: float) -> None:
        self._elf = elf
        self._timeout = timeout
        self._virtual = is_virtual(port)
        baud = target.uart.baud if target.uart else 115200
        self._stream = SerialPort(port, baud)
        try:
            self.link = DeviceLink(self._stream, timeout=min(timeout, _ANSWER_SECONDS))
            self.banner = self.link.connect()
            if self.banner.get("target") != target.name:
                raise DeployError(
                    f"{port}: this board runs firmware for {self.banner.get('target')}, not for "
                    f"{target.name}; choose the other port, or --target"
                )
            clock = self.banner.get("clock_hz")
            if not self._virtual and clock != target.clock_hz:
                raise DeployError(
                    f"{port}: the board runs at {clock} Hz, not at {target.clock_hz}: its "
                    "oscillator did not start; check jumpers and solder bridges of the board"
                )
            if target.is_bare_metal and not self._virtual:
                self.link.self_test()
        except BaseException:
            self._stream.close()
            raise
        measured = target.is_bare_metal and not self._virtual
        self._counts_cycles = measured
        self._counts_time = measured or not target.is_bare_metal
        self.counting = str(self.banner.get("counter", "unknown")) if measured else "not timed"
        if not target.is_bare_metal:
            self.counting = "host clock"

    def infer(self) -> Lap:
        """One inference on the loaded input.

        Raises:
            DeployError: HardFault (names function and layer where the ELF is known), no answer,
                or a board whose counter gives no time.
        """
        try:
            report = self.link.infer(timeout=self._timeout)
        except DeviceFaultError as fault:
            raise (explain_fault(fault, Elf(self._elf)) if self._elf else fault) from fault
        if self._counts_cycles and report.ticks is None:
            raise DeployError(
                "the board's cycle counter stands still or wrapped within one inference; "
                "there is no time to report"
            )
        return Lap(
            microseconds=report.microseconds if self._counts_time else None,
            cycles=report.ticks if self._counts_cycles else None,
        )

    def close(self) -> None:
        """Give the port back."""
        self._stream.close()


class EmulatedDevice:
    """An emulated device; its clock is virtual, so nothing is measured in seconds."""

    def __init__(
        self, target: Target, elf: Path, *, timeout: float, emulator: str | None = None
    ) -> None:
        self._session = open_session(target, elf, emulator=emulator)
        self._session.__enter__()
        self._timeout = timeout
        self.link = self._session.link
        self.banner = self._session.banner
        self.counting = self._session.counting
        self.emulator: str | None = self._session.emulator

    def infer(self) -> Lap:
        """One inference on the loaded input, with its counts."""
        count = self._session.infer(timeout=self._timeout)
        return Lap(
            instructions=count["instructions"],
            cycles_estimated=count.get("cycles_estimated"),
            layers=count.get("layers", []),
        )

    def close(self) -> None:
        """End the emulator."""
        self._session.close()


@dataclass
class Measured:
    """What :func:`measure` found.

    Attributes:
        outputs: int8 [N, ...], as the device sent them.
        laps: one for each image, then the repeated ones.
        different_bytes: of all outputs, from the host build's.
        first_different: index of the first image that differs; None where all are equal.
        memory: arena and stack, in bytes.
        reconnects: how often the line was lost.
    """

    outputs: np.ndarray
    laps: list[Lap]
    different_bytes: int
    first_different: int | None
    memory: dict[str, int]
    banner: dict[str, Any]
    counting: str
    emulator: str | None
    reconnects: int


class _Progress:
    """Answers on disk, one line of JSON an image; a file of another run is not continued."""

    def __init__(self, path: Path, key: dict[str, Any]) -> None:
        self._path = path
        self._key = json.dumps(key, sort_keys=True)
        self.rows: list[dict[str, Any]] = []
        if path.is_file():
            with contextlib.suppress(OSError, ValueError, UnicodeDecodeError):
                first, *rest = path.read_text().splitlines()
                if first == self._key:
                    for line in rest:  # the last line may be cut
                        self.rows.append(json.loads(line))
        write_atomic(path, "".join(f"{line}\n" for line in (self._key, *map(_dump, self.rows))))

    def add(self, output: bytes, lap: Lap) -> None:
        self.rows.append({"output": output.hex(), "lap": lap.__dict__})
        try:
            with self._path.open("a") as stream:
                stream.write(_dump(self.rows[-1]) + "\n")
        except OSError as error:
            raise DeployError(f"cannot write {self._path}: {error.strerror or error}") from error

    def remove(self) -> None:
        self._path.unlink(missing_ok=True)


def _dump(row: dict[str, Any]) -> str:
    return json.dumps(row, sort_keys=True)


def measure(
    connect: Callable[[], Device],
    images: np.ndarray,
    expected: np.ndarray,
    *,
    sha256: str,
    progress_file: Path,
    key: dict[str, Any],
    runs: int = 10,
    say: Callable[[str], None] = lambda message: None,
    reconnect_seconds: float = _RECONNECT_SECONDS,
) -> Measured:
    """Send images to a device and collect its answers.

    Args:
        connect: opens the device; called again where the line was lost.
        images: int8 [N, ...], the input tensor's bytes.
        expected: int8 [N, ...], the host build's answers.
        sha256: of the .tflite file that the firmware has to hold.
        progress_file: answers so far; removed at the end.
        key: what makes this measurement another one (firmware, data); such progress is dropped.
        runs: laps that are wanted at least; the last image is sent again for the missing ones.

    Raises:
        DeployError: the device holds another model, takes images of another size, faults, or the
            line stays dead or noisy. Answers so far are kept in ``progress_file``.
    """
    progress = _Progress(progress_file, {**key, "sha256": sha256, "images": len(images)})
    if progress.rows:
        say(f"going on at image {len(progress.rows)} of {len(images)}")
    total = max(len(images), runs)
    reconnects = 0
    device: Device | None = None
    try:
        device = connect()
        _check_device(device, sha256, images)
        while len(progress.rows) < total:
            image = images[min(len(progress.rows), len(images) - 1)]
            try:
                output, lap = _one_image(device, image)
            except LinkLostError as error:
                say(f"{error}; waiting for the board to come back")
                device.close()
                device = _reconnect(connect, error, reconnect_seconds)
                _check_device(device, sha256, images)
                reconnects += 1
                continue
            progress.add(output, lap)
        memory = device.link.memory()
        banner, counting, emulator = device.banner, device.counting, device.emulator
    except DeployError as error:
        if isinstance(error, DeviceFaultError):
            raise
        kept = (
            f"; {len(progress.rows)} answers are kept in {progress_file}" if progress.rows else ""
        )
        raise type(error)(f"{error}{kept}") from error
    finally:
        if device is not None:
            device.close()
    rows = progress.rows
    outputs = np.stack([np.frombuffer(bytes.fromhex(r["output"]), np.int8) for r in rows])
    outputs = outputs[: len(images)]
    differs = outputs != expected.reshape(len(images), -1)
    progress.remove()
    return Measured(
        outputs=outputs,
        laps=[Lap(**row["lap"]) for row in rows],
        different_bytes=int(differs.sum()),
        first_different=int(np.argwhere(differs.any(axis=1))[0, 0]) if differs.any() else None,
        memory=memory.__dict__,
        banner=banner,
        counting=counting,
        emulator=emulator,
        reconnects=reconnects,
    )


def _check_device(device: Device, sha256: str, images: np.ndarray) -> None:
    found = str(device.banner.get("sha256"))
    if found != sha256:
        raise DeployError(
            f"the device holds model {device.banner.get('model')} with SHA-256 {found[:12]}..., "
            f"the run's has {sha256[:12]}...: write the run's firmware with netbooster flash"
        )
    size = sum(int(tensor["bytes"]) for tensor in device.banner.get("inputs", []))
    if images[0].size != size:
        raise DeployError(
            f"an image has {images[0].size} bytes, the device's model takes {size}; "
            "use the resolution and channels that it was trained for"
        )


def _one_image(device: Device, image: np.ndarray) -> tuple[bytes, Lap]:
    """Send an image and read the answer, again where the line garbled one of them."""
    for attempt in range(1, _TRIES + 1):
        try:
            device.link.load_input(image.tobytes())
            lap = device.infer()
            return device.link.output(), lap
        except (LinkLostError, DeviceFaultError):
            raise
        except (DeployError, ValueError) as error:
            text = str(error)
            if any(word in text for word in ("counter", "has ended", "HardFault", "overflow")):
                raise
            if attempt == _TRIES or device.emulator is not None:
                raise DeployError(f"{text} (try {attempt} of {_TRIES})") from error
            with contextlib.suppress(DeployError):
                device.link.synchronize()
    raise AssertionError("unreachable")


def _reconnect(connect: Callable[[], Device], cause: DeployError, seconds: float) -> Device:
    deadline = time.monotonic() + seconds
    while True:
        try:
            return connect()
        except DeployError as error:
            wrong = "this board runs" in str(error)
            if wrong or time.monotonic() > deadline:
                remedy = "plug it in again and give the same command"
                raise error if wrong else DeployError(f"{cause}; {remedy} ({error})") from error
            time.sleep(0.5)


def spread(values: list[int | None]) -> dict[str, float] | None:
    """Median, smallest and largest of what is known; None where nothing is."""
    known = [value for value in values if value is not None]
    if not known:
        return None
    return {
        "median": median(known), "min": min(known), "max": max(known), "runs": len(known),
    }  # fmt: skip
