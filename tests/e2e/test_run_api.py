# SPDX-License-Identifier: Apache-2.0
"""What the documentation of `deploy.run` says works as it stands there."""

import doctest
import shutil
from pathlib import Path

import pytest

from deploy import run

TOOLS = ("arm-none-eabi-gcc", "cmake", "cc", "qemu-system-arm")


@pytest.mark.skipif(
    any(shutil.which(tool) is None for tool in TOOLS),
    reason=f"one of {', '.join(TOOLS)} is missing",
)
def test_the_examples_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run.__doc__ is not None
    found = doctest.testmod(run, verbose=False)
    assert found.failed == 0 and found.attempted > 10
    assert (tmp_path / "runs" / "digits" / "selected" / "model.tflite").is_file()
    assert (tmp_path / "runs" / "digits" / "report.html").is_file()
