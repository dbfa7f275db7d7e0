# SPDX-License-Identifier: Apache-2.0
"""``--slice``: the parts of the slow suite that CI draws by commit."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def collected(*options: str) -> set[str]:
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "tests/deploy/core"]
    result = subprocess.run([*command, *options], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode in (0, 5), result.stdout + result.stderr
    return {line for line in result.stdout.splitlines() if "::" in line}


def test_a_slice_is_a_share_that_the_text_draws() -> None:
    whole = collected()
    first, again, other = (collected("--slice", text) for text in ("a1/3", "a1/3", "b2/3"))
    assert first == again and first != other
    assert first < whole and 0 < len(first) < len(whole)


def test_a_wrong_slice_is_refused() -> None:
    command = [
        sys.executable,
        "-m",
        "pytest",
        "--collect-only",
        "-q",
        "--slice",
        "abc",
        "tests/tools",
    ]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 4 and "TEXT/N" in result.stderr + result.stdout
