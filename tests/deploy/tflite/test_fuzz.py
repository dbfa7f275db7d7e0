# SPDX-License-Identifier: Apache-2.0
"""Hostile .tflite files: an error of one line, never a crash, a hang or unbounded memory."""

import json
import os
import subprocess
import sys
from pathlib import Path

import fuzz
import pytest

HERE = Path(__file__).parents[1]
KEPT = sorted((HERE.parent / "data" / "fuzz").glob("*.tflite"))


def run(seed: int, count: int, folder: Path) -> dict:
    """Fuzz in a process of its own, because its memory is limited."""
    command = [sys.executable, str(HERE / "fuzz.py"), "--seed", str(seed), "--count", str(count)]
    path = os.pathsep.join([str(HERE.parents[1]), os.environ.get("PYTHONPATH", "")])
    result = subprocess.run(
        [*command, "--keep", str(folder)], capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip
    assert result.returncode in (0, 1), result.stderr[-2000:]
    return json.loads(result.stdout)


def check(seed: int, count: int, folder: Path) -> None:
    found = run(seed, count, folder)
    assert found["failures"] == [], f"kept in {folder}"
    outcomes = found["outcomes"]
    assert sum(outcomes.values()) == count
    # Neither may swallow the other: cases must reach every depth.
    assert outcomes["refused"] > count // 2
    assert outcomes["compiled"] > count // 50


def test_fuzzed_models(tmp_path):
    check(1, 2000, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20, 24))
def test_fuzzed_models_slow(seed, tmp_path):
    check(seed, 25_000, tmp_path)


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.stem)
def test_cases_that_failed_once(path):
    outcome, reason = fuzz.judge(path.read_bytes())
    assert reason is None, reason


def test_a_failure_is_reported(tmp_path, monkeypatch):
    """The judge itself: exceptions, long messages and hangs are failures."""

    def crash(data):
        raise ValueError("boom")

    def talk(data):
        raise fuzz.DeployError("two\nlines")

    def hang(data):
        while True:
            pass

    monkeypatch.setattr(fuzz, "SECONDS", 0.2)
    fuzz.signal.signal(fuzz.signal.SIGVTALRM, fuzz._too_long)
    for broken, reason in ((crash, "ValueError"), (talk, "2 lines"), (hang, "more than 0.2 s")):
        monkeypatch.setattr(fuzz, "import_model", broken)
        assert reason in fuzz.judge(b"")[1]


def test_cases_are_the_same_every_time():
    assert [fuzz.case(7, n) for n in range(20)] == [fuzz.case(7, n) for n in range(20)]
    assert len({fuzz.case(7, n) for n in range(20)}) == 20
