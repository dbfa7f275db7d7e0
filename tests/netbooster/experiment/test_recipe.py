# SPDX-License-Identifier: Apache-2.0
"""Recipes: what is committed loads, what is wrong is refused in one line that names the key."""

from pathlib import Path
from typing import Any

import pytest

from netbooster.common.errors import NetBoosterError
from netbooster.experiment.recipe import load_recipe, parse_recipe, recipe_names, save_recipe
from netbooster.methods import NetBooster, Vanilla


def content(**train: Any) -> dict[str, Any]:
    """A small valid recipe with changes to ``[train]``."""
    return {
        "name": "small",
        "data": {"name": "digits", "resolution": 32, "channels": 1},
        "model": {"name": "mobilenetv2-tiny"},
        "train": {"steps": 10, **train},
    }


def refusal(values: dict[str, Any]) -> str:
    with pytest.raises(NetBoosterError) as error:
        parse_recipe(values, "recipes/x.toml")
    message = str(error.value)
    assert "\n" not in message
    assert message.startswith("recipes/x.toml: ")
    return message


@pytest.mark.parametrize("name", recipe_names())
def test_committed_recipes_load_and_are_named_after_their_file(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe.emulate.images >= 32


def test_the_issue_s_recipes_are_committed() -> None:
    assert {"digits", "glyphs"} <= set(recipe_names())


def test_bad_value_names_file_key_and_bound() -> None:
    message = refusal(content(lr=0))
    assert message == ("recipes/x.toml: key 'train.lr': Input should be greater than 0 (is 0)")


def test_unknown_key_suggests_the_known_one() -> None:
    assert "key 'train.bach_size': unknown key; did you mean 'batch_size'?" in refusal(
        content(bach_size=3)
    )


def test_unknown_key_without_a_neighbour_lists_all() -> None:
    values = content()
    values["emulate"] = {"zzz": 1}
    assert "key 'emulate.zzz': unknown key; allowed: images" in refusal(values)


def test_missing_section_names_it() -> None:
    values = content()
    del values["model"]
    assert "key 'model': is missing; add it as a section with keys among name" in refusal(values)


def test_allowed_values_are_listed() -> None:
    message = refusal(content(optimizer="sgdd"))
    assert "key 'train.optimizer'" in message and "'sgd'" in message and "'sgdd'" in message


def test_unknown_network_lists_networks() -> None:
    values = content()
    values["model"]["name"] = "resnet-900"
    message = refusal(values)
    assert "key 'model.name'" in message and "mobilenetv2-tiny" in message


def test_resolution_below_the_stride_is_refused() -> None:
    values = content()
    values["data"]["resolution"] = 16
    message = refusal(values)
    assert "data.resolution" in message and "32" in message


def test_bad_expansion_is_refused_with_its_key() -> None:
    values = content()
    values["netbooster"] = {"expansion": {"ratio": 0}}
    assert "key 'netbooster.expansion.ratio'" in refusal(values)
    values["netbooster"] = {"expansion": {"where": "everywhere"}}
    assert "netbooster.expansion.where" in refusal(values)


@pytest.mark.parametrize("train", [{"epochs": 2}, {"steps": None}])
def test_exactly_one_length(train: dict[str, Any]) -> None:
    assert "exactly one of 'steps' and 'epochs'" in refusal(content(**train))


def test_not_toml(tmp_path: Path) -> None:
    path = tmp_path / "broken.toml"
    path.write_text("name = [")
    with pytest.raises(NetBoosterError, match=r"broken\.toml: cannot be read as TOML"):
        load_recipe(str(path))


def test_missing_recipe_lists_names() -> None:
    with pytest.raises(NetBoosterError, match=r"nowhere: no such recipe.*digits, glyphs"):
        load_recipe("nowhere")


def test_resolved_recipe_reads_back_equal(tmp_path: Path) -> None:
    recipe = load_recipe("digits")
    again = load_recipe(str(save_recipe(recipe, tmp_path)))
    assert again == recipe
    assert "label_smoothing" in (tmp_path / "recipe.toml").read_text()


def test_overrides_are_toml_values_and_checked() -> None:
    recipe = load_recipe("digits", ["train.lr=0.3", "name=other", "train.nesterov=false"])
    assert (recipe.train.lr, recipe.name, recipe.train.nesterov) == (0.3, "other", False)
    with pytest.raises(NetBoosterError, match=r"digits: key 'train\.lr'"):
        load_recipe("digits", ["train.lr=-1"])
    with pytest.raises(NetBoosterError, match="section.key=value"):
        load_recipe("digits", ["train.lr"])


def test_identity_ignores_bookkeeping_and_separates_methods() -> None:
    base = parse_recipe(content(), "x")
    plain, boosted = base.with_method("vanilla"), base.with_method()
    other = parse_recipe(content(log_every=3, recompute=True), "x").with_method("vanilla")
    assert plain.digest("d") == other.digest("d")
    other = parse_recipe(content(lr=0.2), "x").with_method("vanilla")
    assert plain.digest("d") != other.digest("d")
    assert plain.digest("d") != plain.digest("other images")
    tuned = parse_recipe({**content(), "netbooster": {"plt_lr": 0.01}}, "x")
    assert plain.digest("d") == tuned.with_method("vanilla").digest("d")
    assert boosted.method == "netbooster" and boosted.digest("d") == base.digest("d")
    assert boosted.digest("d") not in (plain.digest("d"), tuned.with_method().digest("d"))


def test_task_has_a_default_that_is_not_written_down() -> None:
    recipe = parse_recipe(content(), "x")
    assert recipe.task == "classification" and "task" not in recipe.to_toml()
    assert parse_recipe(recipe.model_dump(), "x") == recipe
    with pytest.raises(NetBoosterError, match="key 'task': unknown task 'poetry'; choose one of"):
        parse_recipe({**content(), "task": "poetry"}, "x")


@pytest.mark.parametrize("total", [2, 3, 7, 310, 1001])
@pytest.mark.parametrize("share", [0.001, 160 / 310, 0.5, 0.999])
def test_both_methods_take_equally_many_steps(total: int, share: float) -> None:
    values = {**content(steps=total), "netbooster": {"giant_share": share}}
    recipe = parse_recipe(values, "x")
    giant, plt = NetBooster.phases(recipe, total)
    (vanilla,) = Vanilla.phases(recipe, total)
    assert giant.steps >= 1 and plt.steps >= 1
    assert giant.steps + plt.steps == vanilla.steps == total
    assert plt.first == giant.end and plt.end == total


def test_paper_shares_are_the_default() -> None:
    giant, plt = NetBooster.phases(parse_recipe(content(), "x"), 310)
    assert (giant.steps, plt.steps, plt.decay_steps) == (160, 150, 40)


def test_epochs_become_steps() -> None:
    recipe = parse_recipe(content(steps=None, epochs=2.5, batch_size=100), "x")
    assert recipe.total_steps(1000) == 25


def test_learning_rate_warms_up_and_follows_half_a_cosine() -> None:
    recipe = parse_recipe(content(lr=0.4, warmup=0.1), "x")
    (phase,) = Vanilla.phases(recipe, 100)
    rates = [phase.learning_rate(step) for step in range(100)]
    assert rates[:10] == pytest.approx([0.04 * (step + 1) for step in range(10)])
    assert rates[10] == pytest.approx(0.4)
    assert rates[55] == pytest.approx(0.2)
    assert all(a > b for a, b in zip(rates[10:], rates[11:], strict=False))
    assert 0 < rates[-1] < 0.001


def test_extends_lays_files_over_each_other(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "base.toml").write_text(
        '[data]\nname = "digits"\n[model]\nname = "mobilenetv2-tiny"\n'
        "[train]\nepochs = 3\nlr = 0.3\n[netbooster.expansion]\nratio = 4\n"
    )
    (tmp_path / "short.toml").write_text("[train]\nsteps = 9\nbatch_size = 7\n")
    (tmp_path / "sub" / "run.toml").write_text(
        'extends = ["../base.toml", "../short.toml"]\nname = "run"\n[train]\nbatch_size = 5\n'
    )
    recipe = load_recipe(str(tmp_path / "sub" / "run.toml"))
    assert (recipe.train.steps, recipe.train.epochs) == (9, None)
    assert (recipe.train.lr, recipe.train.batch_size) == (0.3, 5)
    assert recipe.netbooster.expansion.ratio == 4
    (tmp_path / "base.toml").write_text('extends = "sub/run.toml"\n')
    with pytest.raises(NetBoosterError, match=r"run\.toml: key 'extends' leads back to this file"):
        load_recipe(str(tmp_path / "sub" / "run.toml"))
    (tmp_path / "base.toml").write_text('extends = "gone.toml"\n')
    with pytest.raises(NetBoosterError, match="'extends' names gone.toml, which is not in"):
        load_recipe(str(tmp_path / "sub" / "run.toml"))


def test_recipe_inside_a_recipe_is_resolved(tmp_path: Path) -> None:
    recipe = load_recipe("table1/mobilenetv2-tiny-kd@mini")
    assert recipe.distillation is not None and recipe.distillation.teacher is not None
    assert recipe.distillation.teacher.model.name == "mobilenetv2-100"
    (tmp_path / "resolved.toml").write_text(recipe.to_toml())
    assert load_recipe(str(tmp_path / "resolved.toml")) == recipe
    path = tmp_path / "self.toml"
    path.write_text('extends = "resolved.toml"\n[distillation]\nteacher = "' + str(path) + '"\n')
    with pytest.raises(NetBoosterError, match="names itself as its teacher or source"):
        load_recipe(str(path))
