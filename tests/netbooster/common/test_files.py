# SPDX-License-Identifier: Apache-2.0
"""Writing artifacts: whatever happens, the old file or the new one, never half of one."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from netbooster.common.errors import NetBoosterError
from netbooster.common.files import claim, is_claimed, read_bytes, write_atomic

KILLED_WHILE_WRITING = """
import os, signal, sys
from pathlib import Path
from netbooster.common import files
os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGKILL)
files.write_atomic(Path(sys.argv[1]), b"new" * 100_000)
"""


def test_writes_bytes_and_text(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "artifact"
    write_atomic(path, b"\x00\xff")
    assert path.read_bytes() == b"\x00\xff"
    write_atomic(path, "text\n")
    assert path.read_bytes() == b"text\n"
    assert [p.name for p in path.parent.iterdir()] == ["artifact"]


def test_full_disk_keeps_the_old_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "artifact"
    write_atomic(path, b"old")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(NetBoosterError, match="No space left"):
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["artifact"]


def test_kill_in_the_middle_keeps_the_old_bytes(tmp_path: Path) -> None:
    path = tmp_path / "artifact"
    write_atomic(path, b"old")
    result = subprocess.run([sys.executable, "-c", KILLED_WHILE_WRITING, str(path)])
    assert result.returncode == -signal.SIGKILL
    assert path.read_bytes() == b"old"
    write_atomic(path, b"new")
    assert path.read_bytes() == b"new"


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"\x00")
    assert read_bytes(tmp_path / "file") == b"\x00"
    with pytest.raises(NetBoosterError, match="cannot read .*/none: No such file"):
        read_bytes(tmp_path / "none")


HOLDER = """
import sys
from pathlib import Path
from netbooster.common.files import claim
with claim(Path(sys.argv[1])):
    print("in", flush=True)
    sys.stdin.read()
"""


def test_a_claimed_folder_is_another_process_s_until_that_ends(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    assert not is_claimed(folder)
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert holder.stdout is not None and holder.stdout.readline() == "in\n"
        assert is_claimed(folder)
        # Waiting ends the holder the hard way: even then the folder is free again.
        with claim(folder, holder.kill):
            assert holder.wait() == -signal.SIGKILL
        assert not is_claimed(folder)
    finally:
        holder.kill()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(NetBoosterError, match="cannot write .*file/run"),
        claim(tmp_path / "file" / "run"),
    ):
        pass
