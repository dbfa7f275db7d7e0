# SPDX-License-Identifier: Apache-2.0
"""Devices run the very firmware that a board would: QEMU, Renode, or a board on a serial port."""

from deploy.devices.answers import Answers, Sending, ask, run_images
from deploy.devices.banner import Banner
from deploy.devices.board import SerialDevice
from deploy.devices.counts import Count, Lap
from deploy.devices.device import INFERENCE_SECONDS, Device
from deploy.devices.emulated import MAX_INSTRUCTIONS
from deploy.devices.errors import DeviceError, DeviceFaultError
from deploy.devices.link import Memory
from deploy.devices.opening import EMULATORS, choose_device, open_device, stand_in
from deploy.devices.progress import Progress
from deploy.devices.qemu import PLUGIN, QemuDevice
from deploy.devices.renode import RenodeDevice

__all__ = [
    "EMULATORS",
    "INFERENCE_SECONDS",
    "MAX_INSTRUCTIONS",
    "PLUGIN",
    "Answers",
    "Banner",
    "Count",
    "Device",
    "DeviceError",
    "DeviceFaultError",
    "Lap",
    "Memory",
    "Progress",
    "QemuDevice",
    "RenodeDevice",
    "Sending",
    "SerialDevice",
    "ask",
    "choose_device",
    "open_device",
    "run_images",
    "stand_in",
]
