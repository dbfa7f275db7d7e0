# SPDX-License-Identifier: Apache-2.0
"""Files with many recipes: rows over parts over a base, profiles; what is refused in one line."""

from pathlib import Path

import pytest

from netbooster.common.errors import NetBoosterError
from netbooster.experiment.recipe import load_recipe
from netbooster.experiment.table_rows import load_table

TABLE = """
title = "Mine: widths"

[base]
group = "Tiny"
method = "vanilla"
model.name = "mobilenetv2-tiny"
data = { name = "digits", channels = 1 }
train = { epochs = 3, lr = 0.3 }
mini.train = { steps = 9, threads = 1 }

[parts]
slow = { train.lr = 0.01, mini.train.lr = 0.02 }
slower = { parts = ["slow"], train.lr = 0.001, label = "Slower" }

[rows]
plain = { label = "Plain", reference = true, paper_final = 50.0 }
slow = { parts = ["slower"], train.epochs = 4 }
student = { label = "KD", method = "kd", distillation.teacher = "mine.toml/big" }

[teachers.big]
method = "vanilla"
model.name = "mobilenetv2-100"
data = { name = "digits", channels = 1 }
train.steps = 5
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text(TABLE)
    return path


def refusal(name: str) -> str:
    with pytest.raises(NetBoosterError) as error:
        load_recipe(name)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_table_of_one_s_own(file: Path) -> None:
    table = load_table(str(file))
    assert (table.key, table.title) == ("mine", "Mine: widths")
    assert [(row.recipe, row.label, row.group) for row in table.rows] == [
        ("plain", "Plain", "Tiny"),
        ("slow", "Slower", "Tiny"),
        ("student", "KD", "Tiny"),
    ]
    names = [table.recipe_name(row, mini=False) for row in table.rows]
    assert names[1] == f"{file}/slow"
    assert [load_recipe(name).name for name in names] == ["mine-plain", "mine-slow", "mine-student"]
    teacher = dict(load_recipe(names[2]).within())["distillation.teacher."]
    assert (teacher.name, teacher.train.steps) == ("mine-big", 5)


def test_own_keys_lie_over_parts_over_the_base_and_the_profile_over_all(file: Path) -> None:
    slow, mini = load_recipe(f"{file}/slow"), load_recipe(f"{file}/slow@mini")
    assert (slow.train.epochs, slow.train.steps, slow.train.lr) == (4, None, 0.001)
    assert (mini.train.epochs, mini.train.steps, mini.train.lr) == (None, 9, 0.02)
    assert (slow.name, mini.name) == ("mine-slow", "mini-mine-slow")
    assert (slow.train.threads, mini.train.threads) == (0, 1)


def test_a_file_extends_a_row_or_a_committed_recipe(tmp_path: Path, file: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text('extends = "mine.toml/slow@mini"\nname = "own"\n[train]\nlr = 0.5\n')
    assert (load_recipe(str(path)).train.steps, load_recipe(str(path)).train.lr) == (9, 0.5)
    path.write_text('extends = "digits"\nname = "own"\n[mini]\ntrain.steps = 7\n')
    assert load_recipe(str(path)).train.steps == 1000
    mini = load_recipe(f"{path}@mini")
    assert (mini.name, mini.train.steps, mini.data.name) == ("mini-own", 7, "digits")
    path.write_text('extends = "mine.toml/slow"\n')
    assert "key 'name': is missing" in refusal(str(path))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("table1", "table1: is a table; name one of its rows, such as table1/mobilenetv2-tiny-van"),
        ("table1@mini", "table1@mini: is a table; name one of its rows"),
        (
            "table1/mcunet-vanila",
            "table1 has no row 'mcunet-vanila'; did you mean 'mcunet-vanilla'",
        ),
        ("table1/x", "table1 has no row 'x'; rows: mobilenetv2-tiny-vanilla, mobilenetv2-tiny-ro"),
        ("table3/x", "table3/x: no such recipe; give the path of a TOML file"),
        ("digits@mini", "has no profile 'mini'; leave @mini out, or add a section [mini]"),
        ("digits@maxi", "digits@maxi: no profile 'maxi'; choose one of mini"),
        ("../../pyproject", "no such recipe"),
        ("table1/teacher@mini", "teacher@mini: has no profile 'mini'"),
    ],
)
def test_names_that_mean_nothing(name: str, message: str) -> None:
    assert message in refusal(name)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('parts = ["slower"]', 'parts = ["slowest"]', "names 'slowest', which is none; did you me"),
        ('parts = ["slower"]', "parts = 3", "key 'parts' takes a name or a list of names"),
        ('parts = ["slow"]', 'parts = ["slower"]', "the part 'slower' names itself"),
        ("train.epochs = 4", "train.epoch = 4", "/slow: key 'train.epoch': unknown key; did you m"),
        ("train.epochs = 4", 'same_as = "table5/first", seed = 1', "remove its own key 'seed'"),
        ("train.epochs = 4", 'same_as = "table5/uniform"', "'same_as' names table5/uniform, which"),
        ("train.epochs = 4", 'extends = "mine.toml/slow"', "leads back to this file"),
        ("train.epochs = 4", 'extends = "gone.toml/slow"', "names gone.toml/slow, which is not in"),
        ("[parts]", "[part]", "unknown key 'part'; did you mean 'parts'?"),
        ("[parts]\n", "[parts]\nx = 3\n", "key 'parts' takes sections; write [parts.NAME]"),
    ],
)
def test_a_wrong_table_names_the_culprit(file: Path, old: str, new: str, message: str) -> None:
    file.write_text(TABLE.replace(old, new))
    assert file.read_text() != TABLE
    assert message in refusal(f"{file}/slow")


def test_a_row_without_a_label_is_refused(file: Path) -> None:
    file.write_text(TABLE.replace('label = "Plain", ', ""))
    with pytest.raises(NetBoosterError, match=r"mine\.toml/plain: key 'label': is missing"):
        load_table(str(file))
