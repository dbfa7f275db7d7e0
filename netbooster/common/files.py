# SPDX-License-Identifier: Apache-2.0
"""Files that neither a kill nor a second process spoils."""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from netbooster.common.errors import NetBoosterError


def write_atomic(path: Path, content: bytes | str) -> None:
    """Write ``content`` to ``path`` through a temporary file in the same folder.

    Raises:
        NetBoosterError: the folder cannot be written or the disk is full; ``path`` keeps its
            old bytes.
    """
    data = content.encode() if isinstance(content, str) else content
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except OSError as error:
        if temporary and os.path.exists(temporary):
            os.unlink(temporary)
        raise NetBoosterError(f"cannot write {path}: {error.strerror or error}") from error


def read_bytes(path: Path) -> bytes:
    """The file's bytes.

    Raises:
        NetBoosterError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise NetBoosterError(f"cannot read {path}: {error.strerror or error}") from error


@contextmanager
def claim(folder: Path, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Keep other processes out of ``folder``, which is made if needed.

    While another one is in it, ``waiting`` is called once and the call blocks. A process that dies
    frees its folders.

    Raises:
        NetBoosterError: the folder cannot be written.
    """
    lock = FileLock(folder / ".lock")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            waiting()
            lock.acquire()
    except OSError as error:
        raise NetBoosterError(f"cannot write {folder}: {error.strerror or error}") from error
    try:
        yield
    finally:
        lock.release()


def is_claimed(folder: Path) -> bool:
    """Whether another process is in ``folder`` at this moment."""
    if not (folder / ".lock").is_file():
        return False
    try:
        with FileLock(folder / ".lock", blocking=False):
            return False
    except Timeout:
        return True
