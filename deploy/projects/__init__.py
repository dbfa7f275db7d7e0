"""A compiled model as a library for other build systems: Arduino, PlatformIO, Zephyr, CMake."""

from deploy.projects.arduino import export_arduino
from deploy.projects.cmake import export_cmake
from deploy.projects.platformio import export_platformio
from deploy.projects.zephyr import export_zephyr

__all__ = ["export_arduino", "export_cmake", "export_platformio", "export_zephyr"]
