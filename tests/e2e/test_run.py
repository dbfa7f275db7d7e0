# SPDX-License-Identifier: Apache-2.0
"""`netbooster run`, whole, on real digits: a short training, every later stage in full."""

import hashlib
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

RECIPE = """
name = "short"
seed = 3
[data]
name = "digits"
resolution = 32
channels = 1
[model]
name = "mobilenetv2-tiny"
[train]
steps = 40
batch_size = 32
checkpoint_every = 5
checkpoint_seconds = 0
[quantization]
calibration_samples = 64
[emulate]
images = 4
"""

ARTIFACTS = (
    "metrics.jsonl",
    "contracted.pt",
    "model.tflite",
    "model.json",
    "generated/plan.json",
    "firmware-mps2-an386.elf",
    "measurement-mps2-an386.json",
)


def netbooster(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "deploy.cli", *arguments]


def write_recipe(folder: Path) -> Path:
    path = folder / "short.toml"
    path.write_text(RECIPE)
    return path


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, str]:
    """Recipe, run folder and output of a run that was killed in the middle of training."""
    folder = tmp_path_factory.mktemp("run")
    recipe, run = write_recipe(folder), folder / "run"
    command = netbooster("run", str(recipe), "--output", str(run))
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        metrics = run / "netbooster" / "checkpoint.pt"
        deadline = time.monotonic() + 300
        while not metrics.exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    assert metrics.exists(), "training never reached its second model"
    assert not (run / "netbooster" / "contracted.pt").exists(), "the kill came too late"
    result = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert result.returncode == 0, result.stdout + result.stderr
    return recipe, run, result.stdout


def test_goes_on_after_a_kill_and_says_so(finished: tuple[Path, Path, str]) -> None:
    _, _, output = finished
    assert "resuming" in output


def test_every_artifact_is_there(finished: tuple[Path, Path, str]) -> None:
    _, run, output = finished
    for model in ("vanilla", "netbooster"):
        for name in ARTIFACTS:
            assert (run / model / name).is_file(), f"{model}/{name}"
    selection = json.loads((run / "selected" / "selection.json").read_text())
    for name in ARTIFACTS[1:]:
        copy, own = (run / folder / name for folder in ("selected", selection["method"]))
        assert digest(copy) == digest(own), name
    best = max(selection["runs"], key=lambda score: score["val"])
    assert selection["method"] == best["method"] and selection["why"] in output.replace("\n", " ")
    assert (run / "report.html").is_file()
    assert "report.html" in output


def test_measurement_is_exact_and_complete(finished: tuple[Path, Path, str]) -> None:
    _, run, _ = finished
    for model in ("vanilla", "netbooster"):
        record = json.loads((run / model / "measurement-mps2-an386.json").read_text())
        plan = json.loads((run / model / "generated" / "plan.json").read_text())
        assert record["exact"]["host"] is True
        assert record["exact"]["tflm"] is True, record["exact"]["reason"]
        assert record["counting"] == "qemu-tcg-plugin"
        assert len(record["images"]) == 4
        assert len(record["layers"]) == len(plan["layers"])
        layers = sum(layer["instructions"] for layer in record["layers"])
        assert 0.98 * record["instructions"] <= layers <= record["instructions"]
        assert record["ram"]["arena"] == plan["arena_bytes"]
        assert 0 < record["ram"]["stack"] <= 2000
        assert record["hashes"]["tflite"] == digest(run / model / "model.tflite")


def test_budget_is_kept(finished: tuple[Path, Path, str]) -> None:
    _, run, _ = finished
    vanilla, boosted = (
        json.loads((run / model / "summary.json").read_text())
        for model in ("vanilla", "netbooster")
    )
    for key in ("parameters", "macs", "tensor_shapes", "state_shapes"):
        assert vanilla[key] == boosted[key]
    assert boosted["contraction_error"] <= 1e-4
    assert vanilla["steps"]["total"] == boosted["steps"]["total"] == 40
    assert "Budget kept" in (run / "report.html").read_text()


def test_second_time_does_nothing_again(finished: tuple[Path, Path, str]) -> None:
    recipe, run, _ = finished
    before = {
        path: path.stat().st_mtime_ns
        for model in ("vanilla", "netbooster")
        for path in (run / model).rglob("*")
        if path.is_file() and path.name != ".lock"
    }
    result = subprocess.run(
        netbooster("run", str(recipe), "--output", str(run)), capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("up to date") >= 8
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_same_seed_same_bytes_and_counts(finished: tuple[Path, Path, str], tmp_path: Path) -> None:
    recipe, run, _ = finished
    again = tmp_path / "again"
    result = subprocess.run(
        netbooster("run", str(recipe), "--output", str(again)), capture_output=True, text=True
    )
    assert result.returncode == 0, result.stdout + result.stderr
    for model in ("vanilla", "netbooster"):
        for name in ("model.tflite", "firmware-mps2-an386.elf", "measurement-mps2-an386.json"):
            assert digest(again / model / name) == digest(run / model / name), f"{model}/{name}"


def test_another_recipe_does_not_overwrite_a_run(
    finished: tuple[Path, Path, str], tmp_path: Path
) -> None:
    recipe, run, _ = finished
    other = tmp_path / "other.toml"
    other.write_text(recipe.read_text().replace("seed = 3", "seed = 4"))
    before = digest(run / "vanilla" / "contracted.pt")
    result = subprocess.run(
        netbooster("run", str(other), "--output", str(run)), capture_output=True, text=True
    )
    assert result.returncode == 2
    assert "seed" in result.stderr and "--output" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert digest(run / "vanilla" / "contracted.pt") == before


def test_a_board_that_no_emulator_knows_ends_with_firmware_and_report(
    finished: tuple[Path, Path, str],
) -> None:
    recipe, run, output = finished
    assert "only 40 optimizer steps" in output
    result = subprocess.run(
        netbooster("run", str(recipe), "--output", str(run), "--target", "nucleo-f446re"),
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "netbooster flash" in result.stdout and "Budget kept" in result.stdout
    for model in ("vanilla", "netbooster"):
        assert (run / model / "firmware-nucleo-f446re.elf").is_file()
        assert not (run / model / "measurement-nucleo-f446re.json").exists()


def test_rows_instead_of_an_image_give_the_same_answers(
    finished: tuple[Path, Path, str], tmp_path: Path
) -> None:
    recipe, run, _ = finished
    rows = tmp_path / "rows"
    shutil.copytree(run, rows)
    result = subprocess.run(
        netbooster("run", str(recipe), "--output", str(rows), "--input", "rows"),
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    for model in ("vanilla", "netbooster"):
        name = f"{model}/measurement-mps2-an386.json"
        image, row = (json.loads((folder / name).read_text()) for folder in (run, rows))
        assert [own["output"] for own in row["images"]] == [
            own["output"] for own in image["images"]
        ]
        assert row["exact"]["host"] is True and row["exact"]["tflm"] is True
        assert row["hashes"]["tflite"] == image["hashes"]["tflite"]
        assert row["hashes"]["generated"] != image["hashes"]["generated"]
