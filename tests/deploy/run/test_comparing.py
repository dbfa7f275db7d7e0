# SPDX-License-Identifier: Apache-2.0
"""A comparison: which run is put forward, what lies where, and which folders are refused."""

import json
import shutil
from pathlib import Path

import pytest

from deploy.core.errors import DeployError
from deploy.run.comparing import methods_of, train_all
from deploy.run.folder import chosen_in, runs_in
from deploy.run.selection import (
    Score,
    copy_selected,
    read_selection,
    select,
    write_selection,
)
from deploy.run.training import train_run
from netbooster.common.errors import NetBoosterError
from netbooster.experiment.recipe import load_recipe, save_recipe
from netbooster.experiment.trained import load

VANILLA, BOOSTED, KD = Score("vanilla", 0.9, 0.8), Score("netbooster", 0.95, 0.7), Score(
    "kd", 0.93, 0.99
)  # fmt: skip


def test_validation_accuracy_decides_and_not_the_test_images() -> None:
    found = select([VANILLA, BOOSTED, KD])
    assert found.method == "netbooster"
    assert found.why == "validation accuracy 95.00% against 90.00% of vanilla, 93.00% of kd"
    assert found.beside_each_other == ("vanilla", "netbooster")


def test_at_a_tie_the_first_named_is_put_forward() -> None:
    same = Score("netbooster", 0.9, 0.99)
    assert select([VANILLA, same]).method == "vanilla"
    assert select([same, VANILLA]).method == "netbooster"
    assert "named first" in select([VANILLA, same]).why
    assert select([VANILLA]).why == "validation accuracy 90.00%, the only run"
    assert select([VANILLA]).beside_each_other == ("vanilla",)


@pytest.fixture
def comparison(tmp_path: Path) -> Path:
    recipe = load_recipe("digits")
    for score in (VANILLA, BOOSTED):
        folder = tmp_path / score.method
        save_recipe(recipe.with_method(score.method), folder)
        (folder / "contracted.pt").write_text(score.method)
    save_recipe(recipe, tmp_path)
    write_selection(tmp_path, select([VANILLA, BOOSTED]))
    return tmp_path


def test_a_comparison_stands_for_its_runs_and_for_the_selected_one(comparison: Path) -> None:
    assert [run.name for run in runs_in(comparison)] == ["vanilla", "netbooster"]
    assert [run.recipe.method for run in runs_in(comparison)] == ["vanilla", "netbooster"]
    assert chosen_in(comparison).folder == comparison / "netbooster"
    alone = comparison / "vanilla"
    assert [run.folder for run in runs_in(alone)] == [alone]
    assert chosen_in(alone).folder == alone
    assert read_selection(comparison) == select([VANILLA, BOOSTED])
    assert read_selection(alone) is None


def test_what_is_put_forward_is_copied_and_kept_up(comparison: Path) -> None:
    generated = comparison / "netbooster" / "generated"
    generated.mkdir()
    for name in ("model.c", "plan.json"):
        (generated / name).write_text(name)
    (comparison / "netbooster" / "checkpoint.pt").write_text("large")
    copy_selected(comparison)
    selected = comparison / "selected"
    assert (selected / "contracted.pt").read_text() == "netbooster"
    assert not (selected / "checkpoint.pt").exists()
    assert [run.folder for run in runs_in(selected)] == [selected]
    (generated / "model.c").unlink()
    (generated / "other.c").write_text("new")
    before = (selected / "contracted.pt").stat().st_mtime_ns
    copy_selected(comparison)
    assert sorted(path.name for path in (selected / "generated").iterdir()) == [
        "other.c", "plan.json"
    ]  # fmt: skip
    assert (selected / "contracted.pt").stat().st_mtime_ns == before
    copy_selected(comparison / "vanilla")  # a single run has nothing to put forward
    assert not (comparison / "vanilla" / "selected").exists()


def test_a_comparison_that_is_not_finished_says_how_to_go_on(comparison: Path) -> None:
    (comparison / "selected" / "selection.json").unlink()
    with pytest.raises(DeployError, match=r"not trained to its end; go on with: netbooster run"):
        runs_in(comparison)


def test_a_run_that_is_missing_is_trained_again_by_its_own_method(comparison: Path) -> None:
    shutil.rmtree(comparison / "netbooster")
    for function in (runs_in, chosen_in):
        with pytest.raises(DeployError, match=r"netbooster/ is missing; .* --method netbooster"):
            function(comparison)


def test_a_comparison_holds_several_networks_to_load(comparison: Path) -> None:
    with pytest.raises(NetBoosterError, match=r"holds several runs \(netbooster, vanilla\)"):
        load(comparison)


def test_a_damaged_selection_is_one_line(comparison: Path) -> None:
    path = comparison / "selected" / "selection.json"
    run = {"method": "vanilla", "val": 0.5, "test": 0.5}
    outside = run | {"method": "../vanilla"}
    wrong = [
        json.dumps({"method": method, "why": "", "runs": runs})
        for method, runs in (("vanilla", []), ("kd", [run]), ("../vanilla", [outside]))
    ]
    for content in ("{", json.dumps({"method": "vanilla"}), "[]", *wrong):
        path.write_text(content)
        with pytest.raises(DeployError, match="is damaged; run `netbooster run` again"):
            runs_in(comparison)


def test_runs_and_comparisons_are_not_mixed_up(comparison: Path) -> None:
    recipe = load_recipe("digits")
    with pytest.raises(DeployError, match="is a comparison; train one of its runs"):
        train_run(recipe, comparison)
    with pytest.raises(DeployError, match="is one run, no comparison"):
        train_all(recipe, comparison / "vanilla", ["vanilla"])


def test_the_layout_of_earlier_versions_is_refused_in_one_line(tmp_path: Path) -> None:
    save_recipe(load_recipe("digits"), tmp_path)
    for name in ("vanilla", "boosted"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "checkpoint.pt").write_text("")
    with pytest.raises(NetBoosterError, match="layout of an earlier version") as refused:
        runs_in(tmp_path)
    assert "netbooster train" in str(refused.value) and "\n" not in str(refused.value)


def test_methods_are_the_named_ones_the_recipes_or_the_default_two() -> None:
    recipe = load_recipe("digits")
    assert methods_of(recipe, None) == ("vanilla", "netbooster")
    assert methods_of(recipe.with_method("tf-kd"), None) == ("tf-kd",)
    assert methods_of(recipe, ["tf-kd", "vanilla", "tf-kd"]) == ("tf-kd", "vanilla")
    with pytest.raises(NetBoosterError, match="magic"):
        methods_of(recipe, ["magic"])
    with pytest.raises(DeployError, match="no method is named"):
        methods_of(recipe, [])
