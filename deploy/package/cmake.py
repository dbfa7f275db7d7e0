# SPDX-License-Identifier: Apache-2.0
"""A folder that drops into a CMake or STM32CubeIDE project."""

from pathlib import Path

from deploy.package.sources import Library, write_folder


def export_cmake(library: Library, output: Path) -> None:
    """Write the folder.

    Raises:
        DeployError: ``output`` is in the way or cannot be written.
    """
    files = {f"src/{name}": text for name, text in library.files.items()}
    files["CMakeLists.txt"] = library.render("CMakeLists.txt.j2")
    files["README.md"] = library.render("README.md.j2")
    files["example.c"] = library.render("example.c.j2")
    write_folder(output, files)
