"""Reading a file or saying why not; writing so that a kill never leaves half of one."""

import os
import tempfile
from pathlib import Path

from deploy.core.errors import DeployError


def write_atomic(path: Path, content: bytes | str) -> None:
    """Write ``content`` to ``path`` through a temporary file in the same folder.

    Raises:
        DeployError: the folder cannot be written or the disk is full; ``path`` keeps its
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
        raise DeployError(f"cannot write {path}: {error.strerror or error}") from error


def read_bytes(path: Path) -> bytes:
    """The file's bytes.

    Raises:
        DeployError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise DeployError(f"cannot read {path}: {error.strerror or error}") from error
