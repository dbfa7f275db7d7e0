"""Emulators run the very firmware that a board would, and count what it executes."""

from deploy.devices.limits import EMULATORS, MAX_INSTRUCTIONS
from deploy.devices.qemu import EmulationResult, QemuSession, run_images
from deploy.devices.renode import RenodeSession
from deploy.devices.sessions import Session, choose_emulator, open_session

__all__ = [
    "EMULATORS",
    "MAX_INSTRUCTIONS",
    "EmulationResult",
    "QemuSession",
    "RenodeSession",
    "Session",
    "choose_emulator",
    "open_session",
    "run_images",
]
