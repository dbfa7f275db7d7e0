# SPDX-License-Identifier: Apache-2.0
"""What is installed, what is missing, and the command that installs it."""

import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING

from deploy.core.errors import DeployError

if TYPE_CHECKING:
    from deploy.targets import Target

APT = "sudo apt-get install"
BREW = "brew install"


@dataclass(frozen=True)
class Check:
    """One thing that the toolchain uses.

    Attributes:
        name: what it is.
        found: version or place; None where it is missing.
        needed_for: what does not work without it.
        remedy: the command that installs it.
        required: False where the product works without it and says so.
    """

    name: str
    found: str | None
    needed_for: str
    remedy: str
    required: bool = True


@dataclass(frozen=True)
class _Tool:
    program: str
    needed_for: str
    apt: str
    brew: str

    def check(self) -> Check:
        remedy = f"{BREW} {self.brew}" if platform.system() == "Darwin" else f"{APT} {self.apt}"
        return Check(self.program, _version(self.program), self.needed_for, remedy)


_HOST_COMPILER = _Tool("cc", "build for this machine", "build-essential", "gcc")
_CMAKE = _Tool("cmake", "build", "cmake", "cmake")
_ARM_COMPILER = _Tool(
    "arm-none-eabi-gcc",
    "build for Cortex-M",
    "gcc-arm-none-eabi libnewlib-arm-none-eabi",
    "--cask gcc-arm-embedded",
)
_QEMU = _Tool("qemu-system-arm", "emulate", "qemu-system-arm", "qemu")


def _version(program: str) -> str | None:
    path = shutil.which(program)
    if path is None:
        return None
    try:
        result = subprocess.run(
            [path, "--version"], capture_output=True, text=True, timeout=20, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    lines = result.stdout.splitlines()
    return lines[0] if result.returncode == 0 and lines else None


def _package(name: str, needed_for: str, *, required: bool = True) -> Check:
    try:
        found: str | None = metadata.version(name)
    except metadata.PackageNotFoundError:
        found = None
    return Check(name, found, needed_for, f"{sys.executable} -m pip install {name}", required)


def tool_checks() -> list[Check]:
    """Programs outside Python."""
    return [tool.check() for tool in (_HOST_COMPILER, _CMAKE, _ARM_COMPILER, _QEMU)]


def package_checks() -> list[Check]:
    """Python packages that matter most."""
    tflm = _package("tflite-micro", "golden comparison (skipped without it)", required=False)
    if tflm.found is None and (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        remedy = "no wheel for this machine; comparisons with TFLM are skipped"
        tflm = Check(tflm.name, None, tflm.needed_for, remedy, required=False)
    return [
        _package("torch", "train, quantize"),
        _package("torchvision", "data sets"),
        _package("ai-edge-litert", "quantize, compile (flatbuffer schema)"),
        tflm,
    ]


def require_tools(target: "Target") -> None:
    """Check what building for and emulating ``target`` needs.

    Raises:
        DeployError: something is missing; names it and the command that installs it.
    """
    tools = [_HOST_COMPILER, _CMAKE]
    if target.is_bare_metal:
        tools.append(_ARM_COMPILER)
    if target.emulator is not None and target.emulator.qemu_machine:
        tools.append(_QEMU)
    missing = [check for check in (tool.check() for tool in tools) if check.found is None]
    if missing:
        names = ", ".join(check.name for check in missing)
        remedies = "; ".join(check.remedy for check in missing)
        raise DeployError(f"missing for target {target.name}: {names}; install with: {remedies}")
