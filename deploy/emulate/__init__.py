"""Emulators run the very firmware that a board would, and count what it executes."""

from deploy.emulate.qemu import EmulationResult, QemuSession, run_images

__all__ = ["EmulationResult", "QemuSession", "run_images"]
