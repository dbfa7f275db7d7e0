# SPDX-License-Identifier: Apache-2.0
"""Where the program's own files lie: in the repository, or in an installed wheel."""

from pathlib import Path

from deploy.core.errors import DeployError

PACKAGE = Path(__file__).resolve().parents[1]
"""The folder of the package ``deploy``."""


def firmware_root() -> Path:
    """The folder with the top-level CMakeLists.txt: the repository, or the wheel's copy.

    Raises:
        DeployError: neither is there.
    """
    for root in (PACKAGE.parent, PACKAGE / "_firmware"):
        if (root / "CMakeLists.txt").is_file() and (root / "firmware").is_dir():
            return root
    raise DeployError(f"the firmware sources are not beside {PACKAGE}; install netbooster again")


def kernel_folders() -> list[Path]:
    """The folders with what every model is linked with: where headers are searched, too."""
    firmware = firmware_root() / "firmware"
    return [
        firmware / "runtime",
        *sorted(p for p in (firmware / "kernels").iterdir() if p.is_dir()),
    ]


def kernel_sources(*suffixes: str) -> list[Path]:
    """Files of these folders by their suffixes, sorted by name; the names differ."""
    found = [path for folder in kernel_folders() for path in folder.iterdir()]
    return sorted((p for p in found if p.suffix in suffixes), key=lambda path: path.name)


def kernel_includes() -> list[str]:
    """The compiler's options that find every header of kernels and models."""
    include = firmware_root() / "firmware" / "include"
    return [f"-I{folder}" for folder in (include, *kernel_folders())]
