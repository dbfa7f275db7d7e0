"""Emulators run the very firmware that a board would, and count what it executes."""

from deploy.emulate.limits import EMULATORS, MAX_INSTRUCTIONS
from deploy.emulate.qemu import EmulationResult, QemuSession, run_images
from deploy.emulate.renode import RenodeSession
from deploy.emulate.sessions import Session, choose_emulator, open_session

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
