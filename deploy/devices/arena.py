# SPDX-License-Identifier: Apache-2.0
"""The memory that TensorFlow Lite Micro takes for a model, by asking it on an emulated machine."""

from pathlib import Path

from deploy.build.engine_tflm import TflmLibrary, build_tflm
from deploy.core.errors import DeployError
from deploy.devices.qemu import QemuDevice
from deploy.targets import Target, load_target, target_names


def arena_used(data: bytes, name: str, target: Target, library: TflmLibrary, folder: Path) -> int:
    """Bytes that the interpreter uses for a model, rounded up to 16.

    It is asked on the largest machine of the same core that QEMU knows: how much it uses depends
    on the library and the model, not on the board.

    Raises:
        DeployError: QEMU is missing, or the interpreter refuses the model.
    """
    machine = _machine(target)
    assert machine.ram is not None
    half = machine.ram.length // 2  # more than any board has
    elf = build_tflm(data, name, machine, library, folder, folder / "ask.elf", arena=half).elf
    with QemuDevice(machine, elf, counter="icount") as device:
        used = device.memory().arena_bytes
    elf.unlink()
    return max(16, (used + 15) & ~15)


def _machine(target: Target) -> Target:
    known = [
        machine
        for machine in map(load_target, target_names())
        if machine.core == target.core and machine.emulator and machine.emulator.qemu_machine
    ]
    if not known:
        raise DeployError(f"QEMU knows no machine with {target.name}'s core, {target.core}")
    return max(known, key=lambda machine: machine.ram_bytes)
