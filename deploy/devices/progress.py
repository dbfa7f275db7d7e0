# SPDX-License-Identifier: Apache-2.0
"""Answers of a device on disk, as they come: what was answered once is not asked again."""

import contextlib
import json
from pathlib import Path
from typing import Any

from deploy.core.errors import DeployError
from deploy.devices.counts import Lap
from netbooster.common.files import write_atomic


class Progress:
    """The answers so far, one line of JSON each behind a first line that says of what they are.

    Args:
        path: the file; None: nothing is written down.
        key: what makes this another measurement (firmware, data, device): the answers of another
            one are dropped.
    """

    def __init__(self, path: Path | None, key: dict[str, Any]) -> None:
        self.path = path
        self._key = json.dumps(key, sort_keys=True)
        self.answers: list[tuple[bytes, Lap]] = []
        if path is None:
            return
        if path.is_file():
            # The last line may be cut, and nobody knows what lies under that name.
            with contextlib.suppress(OSError, ValueError, TypeError, KeyError, AttributeError):
                first, *rest = path.read_text().splitlines()
                if first == self._key:
                    for line in rest:
                        row = json.loads(line)
                        self.answers.append(
                            (bytes.fromhex(row["output"]), Lap.from_dict(row["lap"]))
                        )
        lines = [self._key, *(_line(output, lap) for output, lap in self.answers)]
        write_atomic(path, "".join(f"{line}\n" for line in lines))

    def add(self, output: bytes, lap: Lap) -> None:
        """Write an answer down.

        Raises:
            DeployError: the file cannot be written.
        """
        self.answers.append((output, lap))
        if self.path is None:
            return
        try:
            with self.path.open("a") as stream:
                stream.write(_line(output, lap) + "\n")
        except OSError as error:
            raise DeployError(f"cannot write {self.path}: {error.strerror or error}") from error

    @property
    def kept(self) -> str:
        """For a message: where the answers so far are; nothing where there are none."""
        if self.path is None or not self.answers:
            return ""
        return f"; {len(self.answers)} answers are kept in {self.path}"

    def remove(self) -> None:
        """All answers are there."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)


def _line(output: bytes, lap: Lap) -> str:
    return json.dumps({"output": output.hex(), "lap": lap.to_dict()}, sort_keys=True)
