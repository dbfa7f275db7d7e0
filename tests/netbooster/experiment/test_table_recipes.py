# SPDX-License-Identifier: Apache-2.0
"""The committed recipes of the tables: complete, consistent, and with the paper's settings."""

import pytest

from netbooster.common.errors import NetBoosterError
from netbooster.experiment.recipe import Recipe, load_recipe, recipe_names
from netbooster.experiment.recipe_files import (
    RECIPE_FOLDER,
    find_recipe,
    read_toml,
    same_as,
    table_keys,
)
from netbooster.experiment.table_rows import Table, list_recipes, load_table
from netbooster.giant.expansion import ExpansionConfig
from netbooster.models import model_names

LARGE = ("resnet50", "deit-tiny")


@pytest.fixture(scope="module")
def recipes() -> dict[str, Recipe]:
    """Every row's recipe, its mini, every teacher and every source, by name."""
    names = recipe_names()
    for key in table_keys():
        file = read_toml(RECIPE_FOLDER / f"{key}.toml")
        names += [f"{key}/{row}{at}" for row in file["rows"] for at in ("", "@mini")]
        names += [f"{key}/{name}" for name in file.get("teachers", {})]
        names += [f"{key}/{name}{at}" for name in file.get("sources", {}) for at in ("", "@mini")]
    assert len(names) == 190
    loaded = {}
    for name in sorted(names):
        try:
            loaded[name] = load_recipe(name)
        except NetBoosterError as error:
            missing = [large for large in LARGE if large not in model_names()]
            # ResNet-50 and DeiT-Tiny come with the large networks.
            if not any(f"'{large}'" in str(error) for large in missing):
                raise
    return loaded


def tables() -> list[Table]:
    return [load_table(key) for key in table_keys()]


def test_every_table_of_classification_is_there() -> None:
    keys = ["figure1", "figure3", *(f"table{n}" for n in (1, 2, 4, 5, 6, 7, 8))]
    assert table_keys() == keys
    assert {table.key: len(table.rows) for table in tables()} == {
        "figure1": 9,
        "figure3": 9,
        "table1": 17,
        "table2": 30,
        "table4": 4,
        "table5": 5,
        "table6": 4,
        "table7": 4,
        "table8": 4,
    }
    assert recipe_names() == ["digits", "glyphs"]


def test_every_row_has_both_recipes_and_a_reference(recipes: dict[str, Recipe]) -> None:
    for table in tables():
        assert len({row.recipe for row in table.rows}) == len(table.rows)
        for row in table.rows:
            names = [table.recipe_name(row, mini=mini) for mini in (False, True)]
            assert names == [f"{table.key}/{row.recipe}", f"{table.key}/{row.recipe}@mini"]
            assert all(name in recipes or table.key == "table8" for name in names)
            referents = [r for r in table.rows if r.group == row.group and r.reference]
            assert len(referents) == 1, (table.key, row.group)


def test_every_teacher_and_source_is_some_row_s(recipes: dict[str, Recipe]) -> None:
    rows = [table.recipe_name(r, mini=m) for table in tables() for r in table.rows for m in (0, 1)]
    inside = [recipes[n].within() for n in rows if n in recipes]
    used = {part.name for parts in inside for prefix, part in parts if prefix}
    beside = {recipe.name for name, recipe in recipes.items() if name not in rows}
    assert beside - {"digits", "glyphs"} <= used


def test_rows_that_share_a_run_name_it() -> None:
    shared = {name: str(other) for name, other in sharing().items()}
    assert len(shared) == 2 * 14
    assert shared["figure3/count-08@mini"].endswith("table1.toml/mobilenetv2-tiny-netbooster@mini")
    assert shared["table7/decay-40"].endswith("table1.toml/mcunet-netbooster")


def sharing() -> dict[str, object]:
    names = [table.recipe_name(r, mini=m) for table in tables() for r in table.rows for m in (0, 1)]
    return {name: other for name in names if (other := same_as(find_recipe(name)))}


def test_all_are_listed_with_a_line_about_each() -> None:
    listed = {recipe.name: recipe for recipe in list_recipes()}
    assert len(listed) == 2 + sum(len(table.rows) for table in tables())
    assert all(recipe.title and "\n" not in recipe.title for recipe in listed.values())
    row = listed["table5/first"]
    assert row.title == "Table 5: MobileNetV2-Tiny (r=144), Expand First 8"
    assert row.profiles == ("mini",) and listed["digits"].profiles == ()


def test_equal_names_mean_equal_experiments(recipes: dict[str, Recipe]) -> None:
    by_name: dict[str, str] = {}
    by_digest: dict[str, str] = {}
    for recipe in recipes.values():
        digest = recipe.digest("")
        assert by_name.setdefault(recipe.name, digest) == digest, recipe.name
        assert by_digest.setdefault(digest, recipe.name) == recipe.name, recipe.name


#: How a giant's weights begin is searched for the minis; the rows keep the default.
START = ExpansionConfig().model_dump(include={"init", "bn_bias_init", "weight_gain"})


def test_minis_differ_from_their_rows_by_size_alone(recipes: dict[str, Recipe]) -> None:
    pairs = 0
    for name, mini in recipes.items():
        if not name.endswith("@mini"):
            continue
        row = recipes.get(name.removesuffix("@mini"))
        if row is None:
            continue  # its teacher needs a large network
        pairs += 1
        assert mini.method == row.method and mini.model == row.model
        assert mini.netbooster.expansion.model_copy(update=START) == row.netbooster.expansion
        assert mini.netbooster.giant_share == row.netbooster.giant_share
        assert mini.netbooster.decay_share == row.netbooster.decay_share
        assert mini.netaug == row.netaug
        assert mini.data.name == "glyphs" and mini.data.resolution == 32
        assert row.data.name != "glyphs"
        twice = 2 if name.endswith("netaug-2x@mini") else 1
        if mini.transfer is None and mini.model.name not in LARGE:
            assert mini.train.steps == 600 * twice
        if mini.transfer is not None:
            assert mini.transfer.source.name.startswith("mini-")
    assert pairs >= 50


def test_paper_s_schedule_on_imagenet(recipes: dict[str, Recipe]) -> None:
    for name, recipe in recipes.items():
        if recipe.data.name != "imagenet" or recipe.model.name in LARGE:
            continue
        assert (recipe.train.batch_size, recipe.train.lr) == (1024, 0.2), name
        boosted = recipe.method in ("netbooster", "netbooster-kd")
        twice = 2 if name.endswith("netaug-2x") else 1
        assert recipe.train.epochs == (310 if boosted else 160 * twice), name
        if boosted:
            giant = recipe.netbooster.giant_share * 310
            assert giant == pytest.approx(160, abs=0.01)
            decay = recipe.netbooster.decay_share * (310 - giant)
            expected = {"decay-0": 0, "decay-20": 20, "decay-60": 60}
            assert decay == pytest.approx(expected.get(name.split("/")[1], 40), abs=0.01), name
        resolution = {"mobilenetv2-tiny": 144, "mcunet-in3": 176}.get(recipe.model.name, 160)
        assert recipe.data.resolution == resolution, name


def test_ablations_vary_what_their_table_says(recipes: dict[str, Recipe]) -> None:
    def expansions(key: str) -> dict[str, tuple[object, ...]]:
        found = {}
        for row in load_table(key).rows:
            recipe = recipes[f"{key}/{row.recipe}"]
            if recipe.method == "netbooster":
                e = recipe.netbooster.expansion
                found[row.recipe] = (e.block, e.where, e.count, e.ratio)
        return found

    uniform = ("inverted_residual", "uniform", None, 6)
    assert expansions("table4") == {
        "inverted-residual": uniform,
        "basic": ("basic", *uniform[1:]),
        "bottleneck": ("bottleneck", *uniform[1:]),
    }
    assert expansions("table5") == {
        "uniform": uniform,
        **{w: ("inverted_residual", w, 8, 6) for w in ("first", "middle", "last")},
    }
    assert {name: e[3] for name, e in expansions("table6").items()} == {
        f"ratio-{ratio}": ratio for ratio in (2, 4, 6, 8)
    }
    counts = {name: e[2] for name, e in expansions("figure3").items()}
    assert counts == {f"count-{n:02}": None if n == 8 else n for n in range(2, 17, 2)}


def test_downstream_rows_tune_a_fifth_of_the_epochs_by_plt(recipes: dict[str, Recipe]) -> None:
    rows = {n: r for n, r in recipes.items() if n.startswith("table2/mobilenetv2")}
    found = [recipe for name, recipe in rows.items() if not name.endswith("@mini")]
    assert len(found) == 30
    for recipe in found:
        assert recipe.netbooster.decay_share == 0.2
        assert recipe.transfer is not None
        source = recipe.transfer.source
        assert source.model == recipe.model and source.data.name == "imagenet"
        assert source.data.resolution == recipe.data.resolution


def test_paper_s_numbers() -> None:
    """A few, typed again from the paper."""
    final = {(t.key, row.recipe): row.paper_final for t in tables() for row in t.rows}
    assert final["table1", "mobilenetv2-tiny-netbooster"] == 53.7
    assert final["table1", "mobilenetv2-tiny-netaug-2x"] == 53.4
    assert final["table1", "mcunet-netaug"] == 62.5
    assert final["table2", "mobilenetv2-35-cars-netbooster-kd"] == 83.36
    assert final["table2", "mobilenetv2-tiny-flowers102-vanilla"] == 90.01
    assert final["table5", "last"] == 52.47
    assert final["table6", "ratio-8"] == 52.56
    assert final["table7", "decay-0"] == 61.8
    assert final["table8", "deit-tiny-netbooster"] == 73.7
    giants = {row.recipe: row.paper_giant for row in load_table("table4").rows}
    assert giants == {
        "vanilla": None,
        "inverted-residual": 54.9,
        "basic": 54.52,
        "bottleneck": 55.23,
    }
