# SPDX-License-Identifier: Apache-2.0
"""The benchmark of the method: pairs, intervals, resuming, a bounded search on val images."""

import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from scipy import stats

TOOL = Path(__file__).parents[2] / "tools" / "bench_method.py"
COMMON = ["--recipe", "digits", "--steps", "4", "--set", "train.batch_size=16", "--threads", "1"]


@pytest.fixture(scope="module")
def bench() -> Iterator[ModuleType]:
    spec = importlib.util.spec_from_file_location("bench_method", TOOL)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["bench_method"] = module
    before = torch.get_num_threads()
    spec.loader.exec_module(module)
    yield module
    torch.set_num_threads(before)
    del sys.modules["bench_method"]


@pytest.mark.parametrize("count", [2, 3, 5, 11])
def test_interval_is_student_s(bench: ModuleType, count: int) -> None:
    values = np.random.default_rng(count).normal(1.0, 2.0, count)
    mean, half = bench.interval(list(values))
    low, high = stats.t.interval(0.95, count - 1, loc=values.mean(), scale=stats.sem(values))
    assert mean == pytest.approx(values.mean())
    assert (mean - half, mean + half) == pytest.approx((low, high), rel=1e-9)


def test_wide_interval_for_many_seeds_is_never_too_narrow(bench: ModuleType) -> None:
    values = [float(i % 5) for i in range(40)]
    _, half = bench.interval(values)
    assert half >= stats.t.ppf(0.975, 39) * stats.sem(values)


def test_pairs_are_printed_kept_and_not_trained_again(
    bench: ModuleType,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = tmp_path / "method.json"
    arguments = [*COMMON, "--seeds", "0", "1", "--out", str(out)]
    done = subprocess.run(
        [sys.executable, str(TOOL), *arguments, "--jobs", "2"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    first = done.stdout
    assert "on test" in first and "±" in first and "by seed" in first
    results = json.loads(out.read_text())["results"]
    assert sorted((r["method"], r["seed"]) for r in results.values()) == [
        ("netbooster", 0), ("netbooster", 1), ("vanilla", 0), ("vanilla", 1),
    ]  # fmt: skip
    for result in results.values():
        assert set(result["accuracy"]) == {"train", "test"}
        assert result["steps"] == 4

    def never(_: object) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(bench, "run_job", never)
    assert bench.main(arguments) == 0
    again = capsys.readouterr().out
    assert "4 of 4 trainings" in again
    assert again.splitlines()[-3:] == first.splitlines()[-3:]


def test_search_looks_at_validation_only_and_shares_the_baseline(
    bench: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    search = tmp_path / "search.toml"
    search.write_text(
        '[[setting]]\nname = "slow"\nset = ["netbooster.plt_lr=0.01"]\n'
        '[[setting]]\nname = "fast"\nset = ["netbooster.plt_lr=0.02"]\n'
    )
    out = tmp_path / "search.json"
    arguments = [*COMMON, "--seeds", "0", "--search", str(search), "--out", str(out)]
    assert bench.main(arguments) == 0
    text = capsys.readouterr().out
    assert "on val" in text and "slow" in text and "fast" in text
    results = json.loads(out.read_text())["results"].values()
    assert sorted(r["method"] for r in results) == ["netbooster", "netbooster", "vanilla"]
    assert all("test" not in r["accuracy"] for r in results)
    with pytest.raises(SystemExit):
        bench.main([*arguments, "--split", "test"])


def test_search_is_bounded(
    bench: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    search = tmp_path / "search.toml"
    search.write_text('[[setting]]\nname = "a"\nset = []\n' * 13)
    assert bench.main([*COMMON, "--search", str(search)]) == 2
    assert "13 settings; a stated search has 1 to 12" in capsys.readouterr().err


def test_bad_recipe_is_one_line(bench: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.main(["--recipe", "digits", "--set", "train.lr=-1"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and "train.lr" in error and len(error.splitlines()) == 1
