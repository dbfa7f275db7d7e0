# SPDX-License-Identifier: Apache-2.0
"""Which stages of a run are done already: a hash of everything that went into each.

A stage's stamp holds the hash of its inputs (files and settings) and of the program that made
it. It is written after the outputs, so that a kill in between makes the stage run again.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

from deploy.core.places import PACKAGE, firmware_root
from netbooster.common.files import write_atomic

_SUFFIXES = {".py", ".c", ".h", ".S", ".inc", ".j2", ".toml", ".in", ".cmake"}


def hash_file(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def hash_files(paths: Iterable[Path]) -> str:
    """SHA-256 over names and bytes of files; a folder counts as the files below it, sorted."""
    digest = hashlib.sha256()
    for path in paths:
        files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
        for file in files:
            name = file.relative_to(path).as_posix() if path.is_dir() else file.name
            digest.update(name.encode() + b"\0" + hash_file(file).encode())
    return digest.hexdigest()


@cache
def program_hash() -> str:
    """SHA-256 of the sources that turn a trained model into firmware and evidence."""
    firmware = firmware_root() / "firmware"
    sources = [
        path
        for folder in (PACKAGE, firmware)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix in _SUFFIXES
    ]
    digest = hashlib.sha256()
    for path in sources:
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


class Stamp:
    """The stamp of one stage of one model.

    Args:
        folder: the model's run folder; stamps lie in ``folder/.stamps``.
        stage: the stage's name.
        inputs: files and folders that the stage reads; they exist by now.
        settings: everything else that its outputs depend on.
        outputs: files and folders that the stage writes.
        amended: those of them that later stages add to; of these only the existence counts.
    """

    def __init__(
        self,
        folder: Path,
        stage: str,
        *,
        inputs: Iterable[Path],
        settings: Mapping[str, object],
        outputs: Iterable[Path],
        amended: Iterable[Path] = (),
    ) -> None:
        self.path = folder / ".stamps" / f"{stage}.json"
        self.amended = list(amended)
        self.outputs = list(outputs)
        self.content = {
            "inputs": hash_files(inputs),
            "settings": json.dumps(settings, sort_keys=True, default=str),
            "program": program_hash(),
        }

    def is_current(self) -> bool:
        """True where the outputs are as they were made, from these very inputs."""
        if not all(path.exists() for path in (*self.outputs, *self.amended)):
            return False
        try:
            return bool(json.loads(self.path.read_text()) == self._with_outputs())
        except (OSError, ValueError):
            return False

    def clear(self) -> None:
        """Forget the stamp: called before the outputs are touched."""
        self.path.unlink(missing_ok=True)

    def write(self) -> None:
        """Declare the outputs made."""
        write_atomic(self.path, json.dumps(self._with_outputs(), indent=1) + "\n")

    def _with_outputs(self) -> dict[str, str]:
        return self.content | {"outputs": hash_files(self.outputs)}
