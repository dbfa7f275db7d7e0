# SPDX-License-Identifier: Apache-2.0
"""One way to open a device, whatever runs the firmware."""

from pathlib import Path
from typing import Final

from deploy.core.errors import DeployError
from deploy.devices.board import SerialDevice
from deploy.devices.device import INFERENCE_SECONDS, LinkedDevice
from deploy.devices.emulated import MAX_INSTRUCTIONS
from deploy.devices.qemu import QemuDevice
from deploy.devices.renode import RenodeDevice
from deploy.targets import Target, load_target, target_names

EMULATORS: Final = ("qemu", "renode")


def choose_device(target: Target, on: str | None) -> str:
    """``on``, or where nobody said, QEMU if it knows the target, else Renode.

    Raises:
        DeployError: no emulator knows the target, and no port was named.
    """
    if on is not None:
        return on
    known = target.emulator
    if known is None or not (known.qemu_machine or known.renode):
        raise DeployError(
            f"target {target.name} has no emulator; name the serial port of a board, such as "
            "--on /dev/ttyACM0"
        )
    return "qemu" if known.qemu_machine else "renode"


def stand_in(target: Target, on: str | None) -> Target | None:
    """The emulated machine that runs a board's model where QEMU is asked for and does not know it.

    It has the board's core, so the same machine code of kernels and model, and counts with the
    board's wait states. None: the target itself runs.

    Raises:
        DeployError: QEMU has no machine with this core.
    """
    known = target.emulator
    if on != "qemu" or not target.is_bare_metal or (known and known.qemu_machine):
        return None
    for name in target_names():
        machine = load_target(name)
        emulated = machine.emulator is not None and machine.emulator.qemu_machine is not None
        if emulated and machine.core == target.core:
            return machine.model_copy(update={"cycles": target.cycles, "cflags": target.cflags})
    raise DeployError(
        f"QEMU knows neither target {target.name} nor a machine with its core ({target.core}); "
        "name the serial port of a board, such as --on /dev/ttyACM0"
    )


def open_device(
    target: Target,
    elf: Path,
    *,
    on: str | None = None,
    max_instructions: int = MAX_INSTRUCTIONS,
    timeout: float = INFERENCE_SECONDS,
) -> LinkedDevice:
    """A device that has booted the firmware and waits for commands; a context manager.

    Args:
        elf: the firmware: what an emulator runs, and what names functions and layers of a fault.
        on: ``qemu``, ``renode`` or a serial port; None: see :func:`choose_device`.
        max_instructions: in an emulator an inference that executes more is ended.
        timeout: seconds for one inference, unless a call says otherwise.

    Raises:
        DeployError: the emulator is not installed or does not run the target; the port cannot be
            opened; there is no answer, or another device's.
    """
    chosen = choose_device(target, on)
    if chosen == "qemu":
        return QemuDevice(target, elf, max_instructions=max_instructions, timeout=timeout)
    if chosen == "renode":
        return RenodeDevice(target, elf, max_instructions=max_instructions, timeout=timeout)
    return SerialDevice(target, chosen, elf, timeout=timeout)
