# SPDX-License-Identifier: Apache-2.0
"""Compiles the instruction counter (``plugin/nb_count.c``) for the QEMU that is installed."""

import hashlib
import os
import platform
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from deploy.devices.errors import DeviceError

SOURCES = Path(__file__).resolve().parent / "plugin"

# First QEMU release with a version of the plugin interface that differs in what we use.
_API_BY_RELEASE = (((11, 0), 7), ((9, 1), 3), ((9, 0), 2), ((4, 2), 1))


# With this exit status the counter ends QEMU where an inference executed too many instructions;
# QEMU itself ends with 0 or 1.
LIMIT_STATUS = 3


class PluginUnusableError(DeviceError):
    """The counter cannot be used; says why."""


@dataclass(frozen=True)
class Refusal:
    """QEMU does not take the counter; ``api`` is the interface that it asks for, if it does."""

    api: int | None


def api_version(release: tuple[int, int]) -> int:
    """Plugin interface version to build for, by QEMU's release.

    Raises:
        PluginUnusableError: that QEMU has no plugins.
    """
    for first, api in _API_BY_RELEASE:
        if release >= first:
            return api
    raise PluginUnusableError(f"QEMU {release[0]}.{release[1]} has no plugins (4.2 and newer have)")


def find_refusal(log: str) -> Refusal | None:
    """What the log of a QEMU that has ended says about the counter; None: nothing."""
    if "plugin" not in log:
        return None
    match = re.search(r"supports only (?:a minimum version of|up to version) (\d+)", log)
    return Refusal(int(match[1]) if match else None)


def build_plugin(api: int) -> Path:
    """The compiled counter for an interface version, from the cache or built now.

    Raises:
        PluginUnusableError: no compiler, or it failed.
    """
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise PluginUnusableError("no C compiler for this machine")
    digest = hashlib.sha256(f"{api} {platform.machine()}".encode())
    for source in sorted(SOURCES.glob("nb_*.[ch]")):
        digest.update(source.read_bytes())
    library = _cache_folder() / f"nb_count-{api}-{digest.hexdigest()[:16]}.so"
    if library.is_file():
        return library
    with tempfile.TemporaryDirectory(prefix=".nb-plugin-", dir=library.parent) as folder:
        built = Path(folder) / "nb_count.so"
        command = [compiler, "-O2", "-std=c11", "-Wall", "-Wextra", "-fPIC", "-shared"]
        command += ["-fvisibility=hidden", f"-DNB_QEMU_API={api}", f"-I{SOURCES}"]
        if platform.system() == "Darwin":
            command.append("-Wl,-undefined,dynamic_lookup")
        try:
            done = subprocess.run(
                [*command, str(SOURCES / "nb_count.c"), "-o", str(built)],
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise PluginUnusableError(f"{compiler} does not run: {error}") from error
        if done.returncode != 0:
            lines = done.stderr.strip().splitlines() or ["no output"]
            raise PluginUnusableError(f"{compiler} cannot compile it: {lines[0]}")
        os.replace(built, library)
    return library


def _cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    for folder in (Path(base) / "netbooster", Path(tempfile.gettempdir()) / "netbooster-cache"):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(folder, os.W_OK):
            return folder
    raise PluginUnusableError("no writable folder for the compiled counter; set XDG_CACHE_HOME")
