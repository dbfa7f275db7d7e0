"""The training half of a run on real digits: artifacts, kills, skips, refusals."""

import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from netbooster.common.errors import NetBoosterError
from netbooster.data import Preprocess, load_dataset
from netbooster.experiment import pipeline
from netbooster.experiment.pipeline import (
    build_giant,
    build_network,
    contract_checked,
    contract_run,
    load_contracted,
    load_giant,
    train_netbooster,
    train_vanilla,
)
from netbooster.experiment.recipe import Recipe, parse_recipe
from netbooster.giant.plt import set_alpha
from netbooster.models import build_model
from netbooster.training.evaluate import evaluate_splits
from netbooster.training.loop import netbooster_phases

STEPS = 8

PROGRAM = """
import sys
from pathlib import Path
from netbooster.pipeline import train_netbooster
from netbooster.recipe import load_recipe
train_netbooster(load_recipe(sys.argv[1]), Path(sys.argv[2]))
"""


def make_recipe(**changes: Any) -> Recipe:
    train = {
        "steps": STEPS,
        "batch_size": 16,
        "threads": 1,
        "log_every": 2,
        "checkpoint_every": 1,
        "checkpoint_seconds": 0,
    }
    return parse_recipe(
        {
            "name": "small",
            "seed": 4,
            "data": {"name": "digits", "resolution": 32, "channels": 1},
            "model": {"name": "mobilenetv2-tiny"},
            "train": train | changes,
        },
        "small",
    )


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """The batches are tiny, and a second thread would only wait for the first."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run."""
    folder = tmp_path_factory.mktemp("run")
    train_vanilla(make_recipe(), folder)
    train_netbooster(make_recipe(), folder)
    contract_run(make_recipe(), folder)
    return folder


def test_both_arms_leave_the_same_format(run: Path) -> None:
    vanilla, vanilla_meta = load_contracted(run / "vanilla" / "contracted.pt")
    boosted, meta = load_contracted(run / "boosted" / "contracted.pt")
    original = build_model("mobilenetv2-tiny", num_classes=10, resolution=32, channels=1)
    shapes = [(name, t.shape) for name, t in original.state_dict().items()]
    for model in (vanilla, boosted):
        assert type(model) is type(original)
        assert [(name, t.shape) for name, t in model.state_dict().items()] == shapes
        assert not model.training
    assert set(vanilla_meta) <= set(meta)
    assert meta["labels"] == vanilla_meta["labels"] == [str(i) for i in range(10)]
    assert Preprocess.from_dict(meta["preprocess"]).resolution == 32
    assert meta["steps"] == vanilla_meta["steps"] == STEPS
    assert meta["contraction_error"] <= 1e-4
    assert set(meta["giant_accuracy"]) == set(meta["accuracy"]) == {"train", "val", "test"}


def test_recorded_accuracy_is_that_of_the_stored_network(run: Path) -> None:
    dataset = load_dataset(make_recipe().data)
    for arm in ("vanilla", "boosted"):
        model, meta = load_contracted(run / arm / "contracted.pt")
        assert evaluate_splits(model, dataset) == pytest.approx(meta["accuracy"], abs=0.003)


def test_giant_is_the_one_before_plt(run: Path) -> None:
    giant, meta = load_giant(run / "boosted" / "giant.pt")
    original = build_model("mobilenetv2-tiny", num_classes=10, resolution=32, channels=1)
    sizes = [sum(p.numel() for p in model.parameters()) for model in (original, giant)]
    assert sizes[1] > sizes[0]
    alphas = [t for name, t in giant.state_dict().items() if name.endswith("alpha")]
    assert alphas and not any(alpha.item() for alpha in alphas)
    _, contracted = load_contracted(run / "boosted" / "contracted.pt")
    assert meta["accuracy"] == contracted["giant_accuracy"]


def test_metrics_cover_all_steps_of_all_phases(run: Path) -> None:
    giant, plt = netbooster_phases(make_recipe(), STEPS)
    lines = [json.loads(s) for s in (run / "boosted" / "metrics.jsonl").read_text().splitlines()]
    assert [(line["phase"], line["step"]) for line in lines] == [
        ("giant", 2), ("giant", 4), ("plt", 6), ("plt", 8),
    ]  # fmt: skip
    assert (giant.end, plt.end) == (4, 8)
    vanilla = (run / "vanilla" / "metrics.jsonl").read_text().splitlines()
    assert {json.loads(line)["phase"] for line in vanilla} == {"vanilla"}
    assert {"loss", "accuracy", "lr", "alpha", "seconds"} <= set(lines[0])


def test_both_arms_start_from_the_same_weights() -> None:
    recipe = make_recipe()
    dataset = load_dataset(recipe.data)
    network = build_network(recipe, dataset).state_dict()
    giant = build_giant(recipe, dataset).state_dict()
    shared = [name for name in network if name in giant]
    assert len(shared) > 0.8 * len(network)
    assert all(torch.equal(network[name], giant[name]) for name in shared)


def test_second_time_skips_and_says_so(run: Path) -> None:
    paths = [run / arm / "contracted.pt" for arm in ("vanilla", "boosted")]
    before = [path.stat().st_mtime_ns for path in paths]
    out = io.StringIO()
    console = Console(file=out, width=300)
    train_vanilla(make_recipe(), run, console=console)
    train_netbooster(make_recipe(), run, console=console)
    contract_run(make_recipe(), run, console=console)
    assert [path.stat().st_mtime_ns for path in paths] == before
    text = out.getvalue()
    for line in ("vanilla: finished, skipped", "plt: finished at step 8, skipped"):
        assert line in text
    assert "contract: finished, skipped" in text


def test_sigkill_anywhere_then_the_same_bytes(run: Path, tmp_path: Path) -> None:
    """A real SIGKILL at whatever moment: the resumed run's artifacts equal the whole one's."""
    recipe = tmp_path / "small.toml"
    recipe.write_text(make_recipe().to_toml())
    folder = tmp_path / "run"
    checkpoint, metrics = folder / "boosted" / "checkpoint.pt", folder / "boosted" / "metrics.jsonl"
    command = [sys.executable, "-c", PROGRAM, str(recipe), str(folder)]
    with subprocess.Popen(command, cwd=Path(__file__).parents[3]) as process:
        deadline = time.monotonic() + 120
        while not metrics.exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert checkpoint.exists() and not (folder / "boosted" / "giant.pt").exists()
    out = io.StringIO()
    train_netbooster(make_recipe(), folder, console=Console(file=out, width=300))
    contract_run(make_recipe(), folder)
    assert "giant: resuming from step" in out.getvalue()
    for name in ("giant.pt", "contracted.pt"):
        assert digest(folder / "boosted" / name) == digest(run / "boosted" / name), name
    lines = [
        [{k: v for k, v in json.loads(line).items() if k != "seconds"} for line in text]
        for text in (
            metrics.read_text().splitlines(),
            (run / "boosted" / "metrics.jsonl").read_text().splitlines(),
        )
    ]
    assert lines[0] == lines[1]


def test_another_recipe_is_refused_and_nothing_touched(run: Path) -> None:
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    other = make_recipe(lr=0.2)
    for stage in (train_vanilla, train_netbooster, contract_run):
        with pytest.raises(NetBoosterError, match=r"train\.lr is 0\.1 there, 0\.2 here"):
            stage(other, run)
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_bookkeeping_may_change(run: Path) -> None:
    before = digest(run / "vanilla" / "contracted.pt")
    train_vanilla(make_recipe(log_every=7, checkpoint_every=3), run)
    assert digest(run / "vanilla" / "contracted.pt") == before


def test_contracting_too_early_is_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(NetBoosterError, match=r"checkpoint\.pt: missing; run `netbooster train`"):
        contract_run(make_recipe(), tmp_path)
    (tmp_path / "boosted").mkdir()
    state = torch.load(run / "boosted" / "checkpoint.pt", weights_only=True)
    torch.save({**state, "step": 5}, tmp_path / "boosted" / "checkpoint.pt")
    with pytest.raises(NetBoosterError, match="training is at step 5 of 8"):
        contract_run(make_recipe(), tmp_path)


def test_contraction_that_is_not_exact_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = make_recipe()
    dataset = load_dataset(recipe.data)
    giant = build_giant(recipe, dataset)
    set_alpha(giant, 1.0)
    _, error = contract_checked(giant, dataset)
    assert error <= 1e-4

    def wrong(model: torch.nn.Module) -> torch.nn.Module:
        result = contract(model)
        with torch.no_grad():
            list(result.parameters())[-2].mul_(1.01)  # the classifier's weights
        return result

    contract = pipeline.contract
    monkeypatch.setattr(pipeline, "contract", wrong)
    with pytest.raises(NetBoosterError, match="differs from the linearized giant by"):
        contract_checked(giant, dataset)


def test_giant_that_amplifies_rounding_is_judged_in_float64(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recipe = make_recipe()
    dataset = load_dataset(recipe.data)
    giant = build_giant(recipe, dataset)
    set_alpha(giant, 1.0)
    monkeypatch.setattr(pipeline, "MAX_CONTRACTION_ERROR", 1e-12)  # below float32's rounding
    _, error = contract_checked(giant, dataset)
    assert 1e-12 < error < 1e-4
    monkeypatch.setattr(pipeline, "MAX_MERGING_ERROR", 1e-30)
    with pytest.raises(NetBoosterError, match="in float64 by .*the giant's own rounding"):
        contract_checked(giant, dataset)


def test_unknown_device_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NetBoosterError, match="'toaster'"):
        train_vanilla(make_recipe(), tmp_path, device="toaster")
    if not torch.cuda.is_available():
        with pytest.raises(NetBoosterError, match="no usable GPU"):
            train_vanilla(make_recipe(), tmp_path, device="cuda")
    assert not list(tmp_path.iterdir())


def test_artifact_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "contracted.pt"
    path.write_bytes(b"not a network")
    with pytest.raises(NetBoosterError, match=r"contracted\.pt: damaged"):
        load_contracted(path)
    with pytest.raises(NetBoosterError, match=r"nothing\.pt: missing"):
        load_contracted(tmp_path / "nothing.pt")
