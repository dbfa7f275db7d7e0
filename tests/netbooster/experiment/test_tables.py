# SPDX-License-Identifier: Apache-2.0
"""Running a table: rows and seeds, what is kept, what is shared, what is printed."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from netbooster.common.errors import NetBoosterError
from netbooster.experiment import table as tables
from netbooster.experiment.recipe import Recipe, load_recipe
from netbooster.experiment.statistics import interval
from netbooster.experiment.table import (
    COLUMNS,
    Result,
    finished_results,
    format_rows,
    pooled_gains,
    prepare_recipe,
    run_table,
)
from netbooster.experiment.table_rows import Row, Table, load_table

TABLE = """
title = "T"

[base]
mini.data = { name = "glyphs", characters = "01", resolution = 32, channels = 1 }
mini.model.name = "mobilenetv2-tiny"
mini.train = { steps = 4, batch_size = 4, threads = 1 }

[parts]
giant = { paper_final = 52.5, paper_giant = 54.0 }

[rows]
plain = { group = "g", label = "Vanilla", reference = true, paper_final = 50.0, method = "vanilla" }
netbooster = { parts = ["giant"], group = "g", label = "Boosted", method = "netbooster" }
again = { group = "h", label = "Vanilla", reference = true, same_as = "t/plain" }
"""


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Table:
    """A table of three rows, of which two are one experiment, on tiny recipes."""
    folder = tmp_path / "recipes"
    folder.mkdir()
    (folder / "t.toml").write_text(TABLE)
    monkeypatch.setattr("netbooster.experiment.recipe_files.RECIPE_FOLDER", folder)
    monkeypatch.setattr("netbooster.experiment.table_rows.RECIPE_FOLDER", folder)
    return load_table("t")


class Trained(list[tuple[str, int]]):
    """Which runs were trained, in order."""


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Trained:
    """Training that writes a made-up accuracy and skips what is finished, as the real one does."""
    from netbooster.experiment.recipe import save_recipe
    from netbooster.training.checkpoint import save_torch

    done = Trained()

    def train(recipe: Recipe, run_dir: Path, **options: Any) -> Path:
        path = run_dir / "contracted.pt"
        save_recipe(recipe, run_dir)
        if not path.is_file():
            done.append((recipe.name, recipe.seed))
            gain = 0.02 if recipe.method == "netbooster" else 0.0
            accuracy = {"test": 0.5 + gain + 0.01 * recipe.seed, "train": 0.6}
            extra = {"giant_accuracy": {"test": 0.55}} if gain else {}
            save_torch(path, {"format": 1, "steps": 4, "accuracy": accuracy, **extra})
        return path

    monkeypatch.setattr(tables, "train", train)
    return done


def test_rows_run_for_each_seed_and_share_equal_experiments(
    table: Table, fake: Trained, tmp_path: Path
) -> None:
    results = run_table(table, mini=True, seeds=(0, 1), root=tmp_path / "out")
    assert fake == [
        ("mini-t-plain", 0),
        ("mini-t-netbooster", 0),
        ("mini-t-plain", 1),
        ("mini-t-netbooster", 1),
    ]
    assert set(results) == {(row.recipe, seed) for row in table.rows for seed in (0, 1)}
    assert results["again", 1] == results["plain", 1]
    assert results["netbooster", 0].giant == 0.55 and results["plain", 0].giant is None
    assert (tmp_path / "out" / "seed1" / "mini-t-netbooster" / "contracted.pt").is_file()


def test_finished_runs_are_kept_after_a_kill(
    table: Table, tmp_path: Path, fake: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = tables.train

    def killed(recipe: Recipe, run_dir: Path, **options: Any) -> Path:
        if (recipe.name, recipe.seed) == ("mini-t-netbooster", 1):
            raise KeyboardInterrupt
        return train(recipe, run_dir, **options)

    root = tmp_path / "out"
    monkeypatch.setattr(tables, "train", killed)
    with pytest.raises(KeyboardInterrupt):
        run_table(table, mini=True, seeds=(0, 1), root=root)
    stored = json.loads((root / "t.json").read_text())
    assert {row["recipe"]: list(row["seeds"]) for row in stored["rows"]} == {
        "plain": ["0", "1"], "netbooster": ["0"], "again": ["0"],
    }  # fmt: skip
    early = finished_results(table, mini=True, seeds=(0, 1), root=root)
    assert set(early) == {("plain", 0), ("plain", 1), ("netbooster", 0), ("again", 0), ("again", 1)}
    monkeypatch.setattr(tables, "train", train)
    fake.clear()
    run_table(table, mini=True, seeds=(0, 1), root=root)
    assert fake == [("mini-t-netbooster", 1)]


def test_one_row_alone_keeps_the_others_in_the_file(
    table: Table, fake: Trained, tmp_path: Path
) -> None:
    root = tmp_path / "out"
    run_table(table, mini=True, seeds=(0,), root=root, rows=["plain"])
    results = run_table(table, mini=True, seeds=(0,), root=root, rows=["netbooster"])
    assert set(results) == {("netbooster", 0)}
    stored = json.loads((root / "t.json").read_text())
    assert [row["recipe"] for row in stored["rows"]] == ["plain", "netbooster", "again"]
    with pytest.raises(
        NetBoosterError, match="t has no row 'netboster'; rows: plain, netbooster, again"
    ):
        run_table(table, mini=True, seeds=(0,), root=root, rows=["netboster"])


def test_a_change_need_not_fit_rows_that_are_not_asked_for(
    table: Table, fake: Trained, tmp_path: Path
) -> None:
    root = tmp_path / "out"
    changes = ["route=3"]  # a giant has none
    run_table(table, mini=True, seeds=(0,), root=root, rows=["plain"], overrides=changes)
    with pytest.raises(NetBoosterError, match="mini-t-netbooster: .*'route' needs"):
        run_table(table, mini=True, seeds=(0,), root=root, overrides=changes)
    assert fake == [("mini-t-plain", 0)]


def test_results_of_another_recipe_are_not_reported(
    table: Table, fake: Trained, tmp_path: Path
) -> None:
    root = tmp_path / "out"
    run_table(table, mini=True, seeds=(0,), root=root, scale=0.5)
    assert finished_results(table, mini=True, seeds=(0,), root=root) == {}
    assert len(finished_results(table, mini=True, seeds=(0,), root=root, scale=0.5)) == 3


def test_seed_scale_and_length_reach_every_recipe() -> None:
    recipe = prepare_recipe(
        "table2/mobilenetv2-35-pets-netbooster-kd@mini",
        seed=7,
        scale=0.01,
        overrides=["train.lr=1"],
    )
    assert recipe.transfer is not None and recipe.distillation is not None
    teacher = recipe.distillation.teacher
    assert teacher is not None and teacher.transfer is not None
    whole = load_recipe("table1/mini-teacher")
    for part, steps in ((recipe, 3), (recipe.transfer.source, 6), (teacher, 3)):
        assert (part.seed, part.train.steps) == (7, steps)
    assert teacher.transfer.source.seed == 7
    assert recipe.train.lr == 1 and teacher.train.lr != 1
    assert whole.seed == 0
    assert prepare_recipe("table1/mcunet-vanilla@mini", seed=0, scale=1e-9).train.steps == 2
    longer = prepare_recipe("table1/mcunet-vanilla", seed=0, scale=0.5)
    assert longer.train.epochs == 80


def test_table_shows_intervals_and_paired_gains(table: Table) -> None:
    def result(accuracy: float, giant: float | None = None) -> Result:
        rate = None if giant is None else 0.05
        return Result(accuracy=accuracy, giant=giant, train_accuracy=0.7, steps=2000, plt_lr=rate)

    results = {("plain", s): result(a) for s, a in enumerate((0.50, 0.54, 0.52))}
    results |= {("netbooster", s): result(a, 0.6) for s, a in enumerate((0.53, 0.56, 0.56))}
    plain, boosted = format_rows(table, results)
    assert len(plain) == len(boosted) == len(COLUMNS)
    assert plain[:2] == ["g", "Vanilla"]
    # 4.303 * 2 / sqrt(3) and, for the gains 3, 2, 4, 4.303 * 1 / sqrt(3)
    assert dict(zip(COLUMNS, plain, strict=True))[">final"] == "52.00 ± 4.97"
    cells = dict(zip(COLUMNS, boosted, strict=True))
    assert cells[">gain"] == "+3.00 ± 2.48"
    assert cells[">paper gain"] == "+2.50"
    assert cells[">paper giant"] == "54.00" and cells[">giant"] == "60.00 ± 0.00"
    assert cells[">PLT lr"] == "0.05" and cells[">seeds"] == "0 1 2"
    one = format_rows(table, {("netbooster", 0): result(0.5, 0.5)})
    assert one[0][5] == "50.00" and one[0][7] == ""
    assert math.isnan(interval([1.0])[1])


def test_unknown_table_is_refused() -> None:
    with pytest.raises(NetBoosterError, match="no table '3'; choose one of figure1"):
        load_table("3")
    assert load_table("6").key == "table6" and load_table("figure3").key == "figure3"


def test_a_real_table_of_a_few_steps(table: Table, few_images: None, tmp_path: Path) -> None:
    root = tmp_path / "out"
    results = run_table(table, mini=True, seeds=(0,), root=root, scale=0.5)
    assert {name for name, _ in results} == {"plain", "netbooster", "again"}
    assert all(result.steps == 2 for result in results.values())
    assert results["netbooster", 0].giant is not None
    before = (root / "seed0" / "mini-t-netbooster" / "contracted.pt").stat().st_mtime_ns
    assert run_table(table, mini=True, seeds=(0,), root=root, scale=0.5) == results
    assert (root / "seed0" / "mini-t-netbooster" / "contracted.pt").stat().st_mtime_ns == before


def test_a_run_that_another_process_trains_comes_last(
    table: Table, fake: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    busy = tmp_path / "seed0" / "mini-t-plain"
    monkeypatch.setattr(tables, "is_claimed", lambda folder: folder == busy)
    run_table(table, mini=True, seeds=[0], root=tmp_path)
    assert fake == [("mini-t-netbooster", 0), ("mini-t-plain", 0)]


def test_gains_of_several_groups_are_pooled(table: Table) -> None:
    def result(accuracy: float) -> Result:
        return Result(accuracy=accuracy, giant=None, train_accuracy=0.7, steps=9, plt_lr=None)

    boosted = Row(group="h", label="Boosted", recipe="other")
    alone = Row(group="h", label="NetAug", recipe="alone")
    whole = table.model_copy(update={"rows": (*table.rows, boosted, alone)})
    accuracies = {"plain": 0.50, "netbooster": 0.53, "again": 0.60, "other": 0.61, "alone": 0.70}
    results = {(name, 0): result(value) for name, value in accuracies.items()}
    results[("netbooster", 1)] = result(0.9)  # without its reference: no pair
    # 3 and 1 points: 12.706 * sqrt(2) / sqrt(2)
    assert pooled_gains(whole, results) == [("Boosted", "+2.00 ± 12.71", 2)]
    assert pooled_gains(table, results) == []
