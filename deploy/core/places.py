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
