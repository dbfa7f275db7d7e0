# SPDX-License-Identifier: Apache-2.0
"""Writes a firmware to a board with whatever tool the target names and the machine has.

One function a tool gives the exact command; ``--dry-run`` prints it and nothing runs. What was
written is verified by the firmware's own checksum, which the board reads back over serial.
"""

import getpass
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.build.firmware_image import FirmwareImage, read_image
from deploy.core.errors import DeployError
from deploy.devices.errors import PortError, WrongDeviceError
from deploy.devices.link import DeviceLink
from deploy.devices.serial_port import SerialPort
from deploy.targets import Flash, Target
from netbooster.common.files import write_atomic

_SECONDS = 300
_PIP = f"{sys.executable} -m pip install"
_INSTALL = {
    "pyocd": f"{_PIP} pyocd",
    "openocd": "sudo apt-get install openocd (macOS: brew install openocd)",
    "st-flash": "sudo apt-get install stlink-tools (macOS: brew install stlink)",
    "bossac": "sudo apt-get install bossa-cli (macOS: brew install bossa)",
    "dfu-util": "sudo apt-get install dfu-util (macOS: brew install dfu-util)",
}


@dataclass(frozen=True)
class FlashPlan:
    """What :func:`flash` will do.

    Attributes:
        tool: which tool; ``copy`` for a drive.
        command: program and arguments; for ``copy`` what a shell would be told.
        file: the file that the command reads; written when the plan is run.
        content: its bytes.
    """

    tool: str
    command: list[str]
    file: Path
    content: bytes

    def __str__(self) -> str:
        return shlex.join(self.command)


def _pyocd(data: Flash, file: Path, image: FirmwareImage, port: str | None) -> list[str]:
    if data.pyocd_target is None:
        raise DeployError("the target file gives no flash_tool.pyocd_target")
    address = ["--base-address", f"0x{image.address:08x}"]
    return ["pyocd", "flash", "--target", data.pyocd_target, *address, str(file)]


def _openocd(data: Flash, file: Path, image: FirmwareImage, port: str | None) -> list[str]:
    if not data.openocd_config:
        raise DeployError("the target file gives no flash_tool.openocd_config")
    files = [part for config in data.openocd_config for part in ("-f", config)]
    # OpenOCD's own language quotes with braces.
    return ["openocd", *files, "-c", f"program {{{file}}} 0x{image.address:08x} verify reset exit"]


def _st_flash(data: Flash, file: Path, image: FirmwareImage, port: str | None) -> list[str]:
    return ["st-flash", "--reset", "write", str(file), f"0x{image.address:08x}"]


def _bossac(data: Flash, file: Path, image: FirmwareImage, port: str | None) -> list[str]:
    if port is None:
        raise DeployError(
            "bossac needs the boot loader's serial port: press reset twice and give --port"
        )
    name = port.removeprefix("/dev/")
    return ["bossac", f"--port={name}", "-U", "-i", "-e", "-w", str(file), "-R"]


def _dfu_util(data: Flash, file: Path, image: FirmwareImage, port: str | None) -> list[str]:
    if data.usb is None:
        raise DeployError("the target file gives no flash_tool.usb")
    address = f"0x{image.address:08x}:leave"
    return ["dfu-util", "-d", data.usb, "-a", "0", "-s", address, "-D", str(file)]


_Command = Callable[[Flash, Path, FirmwareImage, str | None], list[str]]
_COMMANDS: dict[str, _Command] = {
    "pyocd": _pyocd,
    "openocd": _openocd,
    "st-flash": _st_flash,
    "bossac": _bossac,
    "dfu-util": _dfu_util,
}


def find_volume(label: str) -> Path | None:
    """Where the drive with this label is mounted; None: nowhere."""
    user = getpass.getuser()
    for root in (f"/media/{user}", f"/run/media/{user}", "/media", "/mnt", "/Volumes"):
        if (path := Path(root) / label).is_dir():
            return path
    return None


def plan_flash(
    target: Target,
    elf: Path,
    folder: Path,
    *,
    tool: str | None = None,
    port: str | None = None,
    volume: Path | None = None,
    dry: bool = False,
) -> FlashPlan:
    """Choose the tool and write the command down.

    Args:
        folder: where the file for the tool is put.
        tool: this one; by default the first of the target's that the machine has.
        port: serial port, for bossac.
        volume: where the board's drive is mounted, for ``copy``; by default it is looked for.
        dry: the command is only shown: the named tool need not be installed.

    Raises:
        DeployError: the target cannot be flashed, the tool is not one of its, or none is
            installed (says how to install them), or there is no such drive.
    """
    if target.flash_tool is None:
        raise DeployError(f"target {target.name} is no board; see `netbooster list targets`")
    data = target.flash_tool
    if tool is not None and tool not in data.tools:
        raise DeployError(f"{target.name} cannot be flashed with {tool}; use {_either(data.tools)}")
    image = read_image(elf)
    if target.flash is not None and image.address != target.flash.origin:
        raise DeployError(
            f"{elf} starts at 0x{image.address:08x}, {target.name}'s flash at "
            f"0x{target.flash.origin:08x}: it was built for another board; build it again"
        )
    chosen = tool or _first_usable(data, volume)
    if chosen is None:
        ways = "; ".join(f"{name}: {_INSTALL[name]}" for name in data.tools if name in _INSTALL)
        raise DeployError(f"nothing is installed that flashes {target.name}. Install one: {ways}")
    if chosen == "copy":
        return _copy_plan(target, data, elf, image, volume)
    if not dry and shutil.which(chosen) is None:
        raise DeployError(f"{chosen} is not installed; install it with: {_INSTALL[chosen]}")
    file = folder / f"{elf.stem}.bin"
    try:
        command = _COMMANDS[chosen](data, file, image, port)
    except DeployError as error:
        raise DeployError(f"{target.name}: {error}") from error
    return FlashPlan(chosen, command, file, image.data)


def _either(names: Sequence[str]) -> str:
    return " or ".join(names)


def _first_usable(data: Flash, volume: Path | None) -> str | None:
    for name in data.tools:
        if name == "copy":
            if volume is not None or (data.volume is not None and find_volume(data.volume)):
                return name
        elif shutil.which(name) is not None:
            return name
    return None


def _copy_plan(
    target: Target, data: Flash, elf: Path, image: FirmwareImage, volume: Path | None
) -> FlashPlan:
    place = volume or (find_volume(data.volume) if data.volume else None)
    if place is None or not place.is_dir():
        shown = place or f"a drive labelled {data.volume}"
        raise DeployError(f"{target.name}: {shown} is not mounted; plug it in or give --volume")
    uf2 = data.uf2_family is not None
    content = image.to_uf2(data.uf2_family) if data.uf2_family is not None else image.data
    name = f"{elf.stem}.{'uf2' if uf2 else 'bin'}"
    return FlashPlan("copy", ["cp", name, str(place)], place / name, content)


def run_flash(plan: FlashPlan) -> None:
    """Carry a plan out.

    Raises:
        DeployError: the tool failed, with the end of what it said, or took too long.
    """
    if plan.tool == "copy":
        try:
            with plan.file.open("wb") as stream:
                stream.write(plan.content)
                stream.flush()
                os.fsync(stream.fileno())
        except OSError as error:
            raise DeployError(f"cannot write {plan.file}: {error.strerror or error}") from error
        return
    write_atomic(plan.file, plan.content)
    try:
        done = subprocess.run(
            plan.command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise DeployError(
            f"{plan.tool} did not end within {_SECONDS} s; check the probe"
        ) from error
    except OSError as error:
        raise DeployError(f"cannot run {plan.tool}: {error.strerror or error}") from error
    if done.returncode != 0:
        lines = [line.strip() for line in done.stdout.splitlines() if line.strip()]
        said = " | ".join(lines[-3:]) or "it said nothing"
        raise DeployError(
            f"{plan.tool} failed (exit status {done.returncode}): {said}; the command was: {plan}"
        )


def verify_flash(elf: Path, target: Target, port: str, *, timeout: float = 20.0) -> str:
    """Ask the board for its program's checksum and compare it with the ELF file's.

    Returns:
        The checksum.

    Raises:
        WrongDeviceError: another board, or another program.
        DeployError: no port, or no answer.
    """
    image = read_image(elf)
    deadline = time.monotonic() + timeout
    while True:  # the port comes back a moment after the board's reset
        try:
            stream = SerialPort(port, target.uart.baud if target.uart else 115200)
            break
        except PortError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)
    try:
        link = DeviceLink(stream, timeout=timeout)
        banner = link.connect()
        if banner.target != target.name:
            raise WrongDeviceError(f"{port}: the board runs {banner.target}, not {target.name}")
        program = link.firmware()
    finally:
        stream.close()
    if (program.bytes, program.crc32) != (len(image.data), image.crc32):
        raise WrongDeviceError(
            f"{port}: the board's flash holds another program (CRC-32 {program.crc32} of "
            f"{program.bytes} bytes, not {image.crc32} of {len(image.data)}): flash it again"
        )
    return image.crc32


def flash(
    target: Target,
    elf: Path,
    *,
    tool: str | None = None,
    port: str | None = None,
    volume: Path | None = None,
) -> FlashPlan:
    """Write a firmware to a board; see :func:`plan_flash` and :func:`verify_flash`."""
    plan = plan_flash(target, elf, elf.parent, tool=tool, port=port, volume=volume)
    run_flash(plan)
    return plan
