# SPDX-License-Identifier: Apache-2.0
"""--set, --seed and --data: what they change, at any depth, and what is refused in one line."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deploy.cli import main
from netbooster.experiment.recipe import load_recipe

SOURCE = """
name = "{name}"
method = "vanilla"
[data]
name = "folder"
resolution = 32
[model]
name = "mobilenetv2-tiny"
[train]
epochs = 100
batch_size = 4
threads = 1
{more}
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """A recipe that tunes another one's network; neither says where its images lie."""
    (tmp_path / "source.toml").write_text(SOURCE.format(name="source", more=""))
    more = '[transfer]\nsource = "source.toml"'
    path = tmp_path / "tuned.toml"
    path.write_text(SOURCE.format(name="tuned", more=more))
    return path


def refused(capfd: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as stop:
        main(list(arguments))
    lines = capfd.readouterr().err.strip().splitlines()
    assert stop.value.code == 2 and len(lines) == 1 and lines[0].startswith("error: "), lines
    return lines[0]


def test_train_takes_them_for_the_source_too(
    capfd: pytest.CaptureFixture[str], recipe: Path, tmp_path: Path
) -> None:
    for split, count in (("train", 8), ("val", 2)):
        for label, value in (("dark", 40), ("light", 200)):
            folder = tmp_path / "images" / split / label
            folder.mkdir(parents=True)
            for index in range(count):
                pixels = np.full((32, 32, 3), value + index, np.uint8)
                Image.fromarray(pixels).save(folder / f"{index}.png")
    words = ["train", str(recipe), "-o", str(tmp_path / "runs" / "tuned")]
    words += ["--set", "train.steps=2", "--set", "transfer.source.train.steps=3", "--seed", "5"]
    with pytest.raises(SystemExit) as stop:
        main([*words, "--data", f"folder={tmp_path / 'images'}"])
    assert not stop.value.code, capfd.readouterr().err
    stored = map(load_recipe, map(str, (tmp_path / "runs").rglob("recipe.toml")))
    runs = {recipe.name: recipe for recipe in stored}
    tuned, source = runs["tuned"], runs["source"]
    assert tuned.transfer is not None and tuned.transfer.source == source
    for part, steps in ((tuned, 2), (source, 3)):
        assert (part.seed, part.train.steps, part.train.epochs) == (5, steps, None)
        assert part.data.root == str(tmp_path / "images")


@pytest.mark.parametrize("command", ["train", "run"])
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--set", "train.stepz=3"), "key 'train.stepz': unknown key; did you mean 'steps'?"),
        (
            ("--set", "transfer.source.data.rot=/x"),
            "key 'transfer.source.data.rot': unknown key; did you mean 'root'?",
        ),
        (("--set", "train.steps"), "--set train.steps: write it as section.key=value"),
        (("--seed", "-1"), "key 'seed': Input should be greater than or equal to 0 (is -1)"),
        (("--data", "folder"), "--data folder: write it as NAME=PATH"),
        (("--data", "folder=/no/where"), "--data folder=/no/where: /no/where is not a folder"),
        (("--data", "pets=/"), "tuned: uses no data set 'pets'; it uses folder"),
    ],
)
def test_bad_ones_are_one_line(
    capfd: pytest.CaptureFixture[str],
    recipe: Path,
    tmp_path: Path,
    command: str,
    words: tuple[str, ...],
    message: str,
) -> None:
    output = tmp_path / "out"
    assert message in refused(capfd, command, str(recipe), "-o", str(output), *words)
    assert not output.exists()


def test_a_table_says_which_data_sets_it_uses(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    words = ("table", "2", "-o", str(tmp_path / "out"), "--row", "mobilenetv2-35-pets-kd")
    line = refused(capfd, *words, "--data", f"cifar10={tmp_path}")
    assert "table2: uses no data set 'cifar10'; it uses imagenet, pets" in line
    assert not (tmp_path / "out").exists()
