# SPDX-License-Identifier: Apache-2.0
"""Changing a recipe by keys, seeds and folders, and those inside it; what is refused."""

from pathlib import Path

import pytest

from netbooster.common.errors import NetBoosterError
from netbooster.experiment.recipe import Recipe, load_recipe
from netbooster.experiment.table import prepare_recipe

ROW = "table2/mobilenetv2-35-pets-netbooster-kd"


@pytest.fixture(scope="module")
def row() -> Recipe:
    """A recipe with a source and a teacher, which has a source itself; all given by name."""
    return load_recipe(ROW)


def parts(recipe: Recipe) -> dict[str, Recipe]:
    return dict(recipe.within())


def refusal(recipe: Recipe, changes: object) -> str:
    with pytest.raises(NetBoosterError) as error:
        recipe.override(changes)  # type: ignore[arg-type]
    message = str(error.value)
    assert "\n" not in message and message.startswith(f"{recipe.name}: ")
    return message


def test_a_mapping_and_a_list_of_words_say_the_same(row: Recipe) -> None:
    changed = row.override({"train.lr": 0.3, "train.optimizer": "adamw", "seed": 4})
    assert changed == row.override(["train.lr=0.3", "train.optimizer = adamw", "seed=4"])
    assert (changed.train.lr, changed.train.optimizer, changed.seed) == (0.3, "adamw", 4)
    assert row.train.lr == 0.01 and changed.transfer == row.transfer
    assert load_recipe(ROW, ["train.lr=0.3"]) == row.override({"train.lr": 0.3})


def test_one_length_takes_the_place_of_the_other(row: Recipe) -> None:
    assert row.train.epochs == 150
    short = row.override({"train.steps": 9, "distillation.teacher.train.steps": 7})
    assert (short.train.steps, short.train.epochs) == (9, None)
    teacher = parts(short)["distillation.teacher."]
    assert (teacher.train.steps, teacher.train.epochs) == (7, None)
    assert short.override(["train.epochs=2.5"]).train.epochs == 2.5


def test_keys_lead_into_recipes_inside_at_any_depth(row: Recipe) -> None:
    keys = ("transfer.source.", "distillation.teacher.", "distillation.teacher.transfer.source.")
    assert set(parts(row)) == {"", *keys}
    for number, key in enumerate(keys, 1):
        changed = row.override([f"{key}data.root=/data/{number}", f"{key}train.epochs={number}"])
        for prefix, part in parts(changed).items():
            inside = prefix == key
            assert part.data.root == (f"/data/{number}" if inside else None)
            assert (part.train.epochs == number) == inside


def test_a_recipe_that_is_named_by_an_override_can_be_changed_further() -> None:
    recipe = load_recipe("table1/mobilenetv2-tiny-vanilla@mini")
    words = [
        "method=kd",
        "distillation.teacher=table1/mini-teacher",
        "distillation.teacher.train.steps=5",
    ]
    teacher = parts(recipe.override(words))["distillation.teacher."]
    assert (teacher.name, teacher.train.steps) == ("mini-teacher", 5)
    whole = recipe.override({"method": "kd", "distillation": {"teacher": teacher, "weight": 0.5}})
    assert parts(whole)["distillation.teacher."] == teacher
    assert whole.distillation is not None and whole.distillation.weight == 0.5
    without = whole.override({"method": "vanilla", "distillation": None})
    assert without == recipe


def test_a_section_is_laid_over_the_one_that_is_there(row: Recipe) -> None:
    changed = row.override({"netbooster": {"expansion": {"ratio": 4}}})
    assert changed.netbooster.expansion.ratio == 4
    assert changed.netbooster.decay_share == row.netbooster.decay_share == 0.2
    default = row.override({"netbooster.decay_share": None})
    assert default.netbooster.decay_share == pytest.approx(40 / 150)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train.stepz": 3}, "key 'train.stepz': unknown key; did you mean 'steps'?"),
        (
            ["transfer.source.data.rooot=/x"],
            "key 'transfer.source.data.rooot': unknown key; did you mean 'root'?",
        ),
        ({"train.lr": -1}, "key 'train.lr': Input should be greater than 0 (is -1)"),
        ({"seed.of": 1}, "key 'seed.of': 'seed' is not a section"),
        (["train.lr"], "--set train.lr: write it as section.key=value"),
        (["=3"], "--set =3: write it as section.key=value"),
        ({"train.": 1}, "key 'train.': write it as section.key"),
        ("train.lr=3", "train.lr=3: give a list of such changes, or a mapping"),
        (["transfer.source=nowhere"], "nowhere: no such recipe"),
        (
            ["transfer.source.transfer.source.seed=3"],
            "key 'transfer.source': the recipe has no transfer.source; name one before",
        ),
    ],
)
def test_what_is_wrong_is_one_line(row: Recipe, changes: object, message: str) -> None:
    assert message in refusal(row, changes)


def test_a_seed_reaches_every_recipe(row: Recipe) -> None:
    assert {part.seed for part in parts(row.with_seed(7)).values()} == {7}
    assert {part.seed for part in parts(row).values()} == {0}


def test_a_data_set_is_pointed_to_wherever_it_is_used(row: Recipe, tmp_path: Path) -> None:
    changed = row.with_data({"pets": tmp_path / "pets", "imagenet": "/data/imagenet"})
    for part in parts(changed).values():
        place = str(tmp_path / "pets") if part.data.name == "pets" else "/data/imagenet"
        assert part.data.root == place
    with pytest.raises(NetBoosterError, match="uses no data set 'pet'; it uses imagenet, pets"):
        row.with_data({"pet": tmp_path})


def test_a_table_takes_of_the_folders_those_that_a_row_uses(tmp_path: Path) -> None:
    places = {"pets": tmp_path, "cars": tmp_path / "cars"}
    recipe = prepare_recipe(ROW, seed=3, data=places)
    roots = {part.data.name: part.data.root for part in parts(recipe).values()}
    assert roots == {"pets": str(tmp_path), "imagenet": None}
    assert {part.seed for part in parts(recipe).values()} == {3}


SMALL = '[model]\nname = "mobilenetv2-tiny"\n[train]\nsteps = 3\n[data]\nname = "folder"\n'


def test_paths_in_a_file_are_relative_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "base.toml").write_text(f'{SMALL}root = "images"\n')
    (tmp_path / "a" / "source.toml").write_text(
        'extends = "base.toml"\nname = "source"\nmethod = "vanilla"\n'
    )
    (tmp_path / "a" / "b" / "x.toml").write_text(
        'extends = "../base.toml"\nname = "x"\nmethod = "vanilla"\n'
        '[transfer]\nsource = "../source.toml"\n'
    )
    monkeypatch.chdir(tmp_path)
    recipe = load_recipe("a/b/x.toml")
    assert {part.data.root for part in parts(recipe).values()} == {str(tmp_path / "a" / "images")}
    assert recipe.override({"data.root": "here"}).data.root == str(tmp_path / "here")
    inside = recipe.override(["transfer.source.data.root=../there"])
    assert parts(inside)["transfer.source."].data.root == str(tmp_path.parent / "there")
    home = recipe.override({"data.root": "~/images"}).data.root
    assert home == str(Path.home() / "images")
