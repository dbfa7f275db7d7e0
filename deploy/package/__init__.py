# SPDX-License-Identifier: Apache-2.0
"""A compiled model as a library for other build systems: Arduino, PlatformIO, Zephyr, CMake."""

from deploy.package.arduino import export_arduino
from deploy.package.cmake import export_cmake
from deploy.package.platformio import export_platformio
from deploy.package.zephyr import export_zephyr

__all__ = ["export_arduino", "export_cmake", "export_platformio", "export_zephyr"]
