"""The committed recipes of the tables: complete, consistent, and with the paper's settings."""

import pytest

from netbooster.common.errors import NetBoosterError
from netbooster.experiment.recipe import RECIPE_FOLDER, Recipe, load_recipe, recipe_names
from netbooster.experiment.table import Table, load_table, table_keys
from netbooster.giant.expansion import ExpansionConfig
from netbooster.models import model_names

LARGE = ("resnet50", "deit-tiny")


@pytest.fixture(scope="module")
def recipes() -> dict[str, Recipe]:
    """Every row's recipe and every teacher, by name."""
    names = [
        str(path.relative_to(RECIPE_FOLDER).with_suffix(""))
        for path in RECIPE_FOLDER.rglob("*.toml")
        if path.parent.name not in ("base", "tables")
    ]
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


def test_every_row_has_both_recipes_and_every_recipe_a_row() -> None:
    for table in tables():
        rows = {row.recipe for row in table.rows}
        assert len(rows) == len(table.rows)
        for folder in (RECIPE_FOLDER / table.key, RECIPE_FOLDER / table.key / "mini"):
            files = {path.stem for path in folder.glob("*.toml")}
            assert {name for name in files if not name.startswith("source-")} == rows
        for row in table.rows:
            referents = [r for r in table.rows if r.group == row.group and r.reference]
            assert len(referents) == 1, (table.key, row.group)


def test_equal_names_mean_equal_experiments(recipes: dict[str, Recipe]) -> None:
    by_name: dict[str, str] = {}
    by_digest: dict[str, str] = {}
    for recipe in recipes.values():
        digest = recipe.digest(recipe.arm, "")
        assert by_name.setdefault(recipe.name, digest) == digest, recipe.name
        assert by_digest.setdefault(digest, recipe.name) == recipe.name, recipe.name


#: How a giant's weights begin is searched for the minis; the rows keep the default.
START = ExpansionConfig().model_dump(include={"init", "bn_bias_init", "weight_gain"})


def test_minis_differ_from_their_rows_by_size_alone(recipes: dict[str, Recipe]) -> None:
    pairs = 0
    for name, mini in recipes.items():
        if "/mini/" not in name:
            continue
        row = recipes.get(name.replace("/mini/", "/"))
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
        twice = 2 if name.endswith("netaug-2x") else 1
        if mini.transfer is None and mini.model.name not in LARGE:
            assert mini.train.steps == 600 * twice
        if mini.transfer is not None:
            assert "/mini" in "/" + mini.transfer.source.name
    assert pairs >= 50


def test_paper_s_schedule_on_imagenet(recipes: dict[str, Recipe]) -> None:
    for name, recipe in recipes.items():
        if recipe.data.name != "imagenet" or recipe.model.name in LARGE:
            continue
        assert (recipe.train.batch_size, recipe.train.lr) == (1024, 0.2), name
        boosted = recipe.arm == "boosted"
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
    found = [r for n, r in recipes.items() if n.startswith("table2/mobilenetv2") and r.transfer]
    assert len(found) >= 20
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
