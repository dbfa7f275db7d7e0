# SPDX-License-Identifier: Apache-2.0
"""What the emulators share: a child process, a temporary folder, a limit of instructions."""

import tempfile
from pathlib import Path

from deploy.build.elf import Elf
from deploy.devices.device import LinkedDevice
from deploy.devices.errors import EmulatorTooLongError
from deploy.devices.process import EmulatorProcess
from deploy.targets import Target

# In instructions, which no busy machine changes. MobileNetV2 at 224 pixels in a plain interpreter
# takes about a tenth of it.
MAX_INSTRUCTIONS = 50_000_000_000


class EmulatedDevice(LinkedDevice):
    """A firmware that runs on an emulator, whose clock is virtual: nothing is measured in seconds.

    Args:
        target: what the firmware was built for.
        elf: the firmware.
        max_instructions: an inference that executes more is ended.
        timeout: seconds for one inference, unless a call says otherwise.
    """

    def __init__(self, target: Target, elf: Path, max_instructions: int, timeout: float) -> None:
        self._elf = Elf(elf)
        super().__init__(target, self._elf, str(elf), timeout)
        self._elf_path = elf
        self._limit = max_instructions
        self._process: EmulatorProcess | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def close(self) -> None:
        """End the emulator and remove temporary files."""
        if self._process is not None:
            self._process.close()
            self._process = None
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    @property
    def pid(self) -> int | None:
        """The emulator's process id while it runs."""
        return self._process.pid if self._process else None

    def _path(self, name: str) -> Path:
        """A temporary file of this emulator."""
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="nb-emulate-")
        return Path(self._folder.name) / name

    def _too_long(self, log: str) -> EmulatorTooLongError:
        return EmulatorTooLongError(
            f"{self.emulator}: the inference had no end after {self._limit:,} instructions: it "
            f"hangs, or give --max-instructions more; {log}"
        )
