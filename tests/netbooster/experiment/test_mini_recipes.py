# SPDX-License-Identifier: Apache-2.0
"""Every committed recipe of a table trains: the mini variants for a few steps, on few images."""

from pathlib import Path

import pytest

from netbooster.experiment import run
from netbooster.experiment.recipe import Recipe
from netbooster.experiment.recipe_files import table_keys
from netbooster.experiment.run import train
from netbooster.experiment.table import prepare_recipe, read_result
from netbooster.experiment.table_rows import load_table

QUICK = ("figure1/mobilenetv2-tiny-netbooster@mini", "table7/decay-0@mini")


def mini_rows() -> list[str]:
    """Names of all mini rows; rows that are another table's experiment come once."""
    rows = [(t, row) for t in map(load_table, table_keys()) for row in t.rows]
    names = [table.recipe_name(row, mini=True) for table, row in rows]
    first: dict[str, str] = {}
    for name in names:
        first.setdefault(short(name).name, name)
    return list(first.values())


def short(name: str) -> Recipe:
    """The recipe in two steps of 16 images; what it builds on in two steps, too."""
    settings = ["train.batch_size=16", "train.threads=1"]
    return prepare_recipe(name, seed=0, scale=1e-6, overrides=settings)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a table's rows lie together, so that teachers and sources are trained once."""
    return tmp_path_factory.mktemp("minis")


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=() if n in QUICK else pytest.mark.slow) for n in mini_rows()],
)
def test_trains(name: str, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    accuracy = {"train": 0.5, "val": 0.5, "test": 0.5}
    monkeypatch.setattr(run, "evaluate_splits", lambda *_, **__: accuracy)
    recipe = short(name)
    run_dir = root / name.split("/")[0] / recipe.name
    train(recipe, run_dir)
    result = read_result(recipe, run_dir)
    assert result is not None
    assert result.steps == 2
    boosted = recipe.method in ("netbooster", "netbooster-kd")
    assert (result.plt_lr == recipe.netbooster.plt_lr) if boosted else result.plt_lr is None
    assert (result.giant is None) == (not boosted or recipe.transfer is not None)


def test_quick_rows_are_rows() -> None:
    assert set(QUICK) <= set(mini_rows())
