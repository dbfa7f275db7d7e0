# SPDX-License-Identifier: Apache-2.0
"""Bad input of training, as the command line meets it: one line, exit code 2, nothing lost."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deploy.cli import main
from netbooster.common.errors import EchoedError
from netbooster.data.sampling import EpochShuffle
from netbooster.experiment import run as experiment_run
from netbooster.training.checkpoint import load_torch

RECIPE = """
name = "t"
{method}
[data]
name = "folder"
resolution = 32
channels = 1
root = "{root}"
on_corrupt = "{corrupt}"
[model]
name = "{model}"
[train]
steps = {steps}
batch_size = 8
threads = 1
log_every = 1
checkpoint_every = 1
checkpoint_seconds = 0
{more}
"""


def run(capfd: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop:
        main(list(arguments))
    out, err = capfd.readouterr()
    return int(stop.value.code or 0), out, err


def refused(capfd: pytest.CaptureFixture[str], *arguments: str) -> str:
    code, _, err = run(capfd, *arguments)
    lines = [line for line in err.splitlines() if line.strip()]
    assert code == 2 and len(lines) == 1 and lines[0].startswith("error: "), err
    return lines[0]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for split, count in (("train", 20), ("val", 4)):
        for number, label in enumerate(("dark", "light")):
            folder = root / split / label
            folder.mkdir(parents=True)
            for index in range(count):
                pixels = rng.integers(100 * number, 100 * number + 99, (32, 32), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{index}.png")
    return root


def write_recipe(folder: Path, images: Path, **changes: object) -> Path:
    values: dict[str, object] = {"corrupt": "error", "model": "mobilenetv2-tiny", "steps": 4}
    values |= {"method": 'method = "vanilla"', "more": "", "root": images.as_posix()}
    path = folder / "recipe.toml"
    path.write_text(RECIPE.format(**(values | changes)))
    return path


def test_corrupt_image_in_the_middle_of_an_epoch(
    capfd: pytest.CaptureFixture[str], images: Path, tmp_path: Path
) -> None:
    """Its header is whole, so that nothing shows before it is decoded, in batch 3."""
    copy = tmp_path / "images"
    shutil.copytree(images, copy)
    number = int(EpochShuffle(40, seed=0).batch(3, 8)[5])
    broken = sorted((copy / "train").glob("*/*.png"))[number]
    broken.write_bytes(broken.read_bytes()[:400])
    out = str(tmp_path / "run")
    line = refused(capfd, "train", str(write_recipe(tmp_path, copy, steps=9)), "--output", out)
    assert f"{broken.parent.name}/{broken.name}" in line
    state = load_torch(tmp_path / "run" / "checkpoint.pt", "")
    assert state["step"] == 3
    shutil.rmtree(tmp_path / "run")
    recipe = write_recipe(tmp_path, copy, steps=9, corrupt="skip")
    code, shown, err = run(capfd, "train", str(recipe), "--output", out)
    assert code == 0, err
    assert "1 unreadable images left out" in shown and broken.name in shown
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert '"skipped_images": 1' in lines[-1]


def test_checkpoint_of_another_network(
    capfd: pytest.CaptureFixture[str], images: Path, tmp_path: Path
) -> None:
    out = str(tmp_path / "run")
    assert run(capfd, "train", str(write_recipe(tmp_path, images)), "--output", out)[0] == 0
    before = (tmp_path / "run" / "checkpoint.pt").read_bytes()
    other = write_recipe(tmp_path, images, model="mobilenetv2-35")
    line = refused(capfd, "train", str(other), "--output", out)
    assert "model.name is 'mobilenetv2-tiny' there, 'mobilenetv2-35' here" in line
    assert (tmp_path / "run" / "checkpoint.pt").read_bytes() == before


@pytest.mark.parametrize(
    ("expansion", "message"),
    [
        ('where = ["blocks.99"]', "no layer 'blocks.99' in MobileNetV2"),
        ("kernel = 3", "set allow_larger_kernel = true"),
        ("ratio = 0", "key 'netbooster.expansion.ratio'"),
        ('block = "dense"', "key 'netbooster.expansion.block'"),
        ("count = 17", "count 17 is more than the 16 layers"),
    ],
)
def test_expansion_that_cannot_be(
    capfd: pytest.CaptureFixture[str], images: Path, tmp_path: Path, expansion: str, message: str
) -> None:
    more = f"[netbooster.expansion]\n{expansion}"
    recipe = write_recipe(tmp_path, images, method='method = "netbooster"', more=more)
    line = refused(capfd, "train", str(recipe), "--output", str(tmp_path / "run"))
    assert message in line
    assert not (tmp_path / "run" / "checkpoint.pt").exists()


def test_train_goes_on_where_plt_has_not_ended_and_contracts(
    capfd: pytest.CaptureFixture[str], images: Path, tmp_path: Path
) -> None:
    from netbooster.experiment.recipe import load_recipe
    from netbooster.experiment.run import train_until

    file = write_recipe(tmp_path, images, method="")
    train_until(load_recipe(str(file)), tmp_path / "run", "giant.pt")
    assert "contracted.pt is missing" in refused(capfd, "quantize", str(tmp_path / "run"))
    code, out, err = run(capfd, "train", str(file), "--output", str(tmp_path / "run"))
    assert code == 0, err
    assert f"next: netbooster quantize {tmp_path / 'run'}" in out.replace("\n", " ")
    assert "plt: resuming from step 2" in out and "contraction error" in out


def test_what_the_writing_process_says_is_not_said_twice(
    capfd: pytest.CaptureFixture[str],
    images: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In the other processes of a torchrun its error ends the command without a line."""

    def echo(*_: object, **__: object) -> None:
        raise EchoedError("checkpoint.pt: damaged")

    monkeypatch.setattr(experiment_run, "open_store", echo)
    out = str(tmp_path / "run")
    code, _, err = run(capfd, "train", str(write_recipe(tmp_path, images)), "--output", out)
    assert code == 2 and not err.strip()
