# SPDX-License-Identifier: Apache-2.0
"""The training half of a run on real digits: artifacts, kills, skips, refusals."""

import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console

from netbooster.common.errors import NetBoosterError
from netbooster.data import Preprocess, load_dataset
from netbooster.experiment.recipe import Recipe, load_recipe, parse_recipe
from netbooster.experiment.run import train, train_until
from netbooster.experiment.trained import load
from netbooster.giant.plt import set_alpha
from netbooster.methods import Job, NetBooster, netbooster
from netbooster.methods.netbooster import build_giant, contract_checked
from netbooster.models import build_model
from netbooster.tasks import Classification
from netbooster.training.evaluate import evaluate_splits
from netbooster.training.networks import load_giant

STEPS = 8

PROGRAM = """
import sys
from pathlib import Path
from netbooster.experiment.recipe import load_recipe
from netbooster.experiment.run import train
train(load_recipe(sys.argv[1]), Path(sys.argv[2]))
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


METHODS = ("vanilla", "netbooster")


def make_job(recipe: Recipe) -> Job:
    return Job(recipe, load_dataset(recipe.data), Classification(), torch.device("cpu"))


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
    """A folder with a finished run of each method."""
    folder = tmp_path_factory.mktemp("run")
    for method in METHODS:
        assert train(make_recipe().with_method(method), folder / method) == folder / method
    return folder


def test_both_methods_leave_the_same_format(run: Path) -> None:
    plain, finished = load(run / "vanilla"), load(run / "netbooster")
    vanilla, vanilla_meta = plain.network, plain.meta
    boosted, meta = finished.network, finished.meta
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
    for method in METHODS:
        found = load(run / method)
        scores = evaluate_splits(found.network, dataset, task=found.task)
        assert scores == pytest.approx(found.accuracy, abs=0.003)


def test_giant_is_the_one_before_plt(run: Path) -> None:
    giant, meta = load_giant(run / "netbooster" / "giant.pt", Classification())
    original = build_model("mobilenetv2-tiny", num_classes=10, resolution=32, channels=1)
    sizes = [sum(p.numel() for p in model.parameters()) for model in (original, giant)]
    assert sizes[1] > sizes[0]
    alphas = [t for name, t in giant.state_dict().items() if name.endswith("alpha")]
    assert alphas and not any(alpha.item() for alpha in alphas)
    assert meta["accuracy"] == load(run / "netbooster").meta["giant_accuracy"]


def test_metrics_cover_all_steps_of_all_phases(run: Path) -> None:
    giant, plt = NetBooster.phases(make_recipe(), STEPS)
    lines = [json.loads(s) for s in (run / "netbooster" / "metrics.jsonl").read_text().splitlines()]
    assert [(line["phase"], line["step"]) for line in lines] == [
        ("giant", 2), ("giant", 4), ("plt", 6), ("plt", 8),
    ]  # fmt: skip
    assert (giant.end, plt.end) == (4, 8)
    vanilla = (run / "vanilla" / "metrics.jsonl").read_text().splitlines()
    assert {json.loads(line)["phase"] for line in vanilla} == {"vanilla"}
    assert {"loss", "accuracy", "lr", "alpha", "seconds"} <= set(lines[0])


def test_both_methods_start_from_the_same_weights() -> None:
    recipe = make_recipe()
    network = make_job(recipe).network().state_dict()
    giant = build_giant(make_job(recipe)).state_dict()
    shared = [name for name in network if name in giant]
    assert len(shared) > 0.8 * len(network)
    assert all(torch.equal(network[name], giant[name]) for name in shared)


def test_second_time_skips_and_says_so(run: Path) -> None:
    paths = [run / method / "contracted.pt" for method in METHODS]
    before = [path.stat().st_mtime_ns for path in paths]
    out = io.StringIO()
    console = Console(file=out, width=300)
    for method in METHODS:
        train(make_recipe().with_method(method), run / method, console=console)
    assert [path.stat().st_mtime_ns for path in paths] == before
    text = out.getvalue()
    for line in ("vanilla: finished, skipped", "netbooster: finished, skipped"):
        assert line in text


def test_finished_training_is_contracted_without_another_step(run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "netbooster"
    shutil.copytree(run / "netbooster", folder)
    (folder / "contracted.pt").unlink()
    out = io.StringIO()
    train(make_recipe(), folder, console=Console(file=out, width=300))
    assert "plt: finished at step 8, skipped" in out.getvalue()
    assert digest(folder / "contracted.pt") == digest(run / "netbooster" / "contracted.pt")


def test_sigkill_anywhere_then_the_same_bytes(run: Path, tmp_path: Path) -> None:
    """A real SIGKILL at whatever moment: the resumed run's artifacts equal the whole one's."""
    recipe = tmp_path / "small.toml"
    recipe.write_text(make_recipe().to_toml())
    folder = tmp_path / "run"
    checkpoint, metrics = folder / "checkpoint.pt", folder / "metrics.jsonl"
    command = [sys.executable, "-c", PROGRAM, str(recipe), str(folder)]
    with subprocess.Popen(command, cwd=Path(__file__).parents[3]) as process:
        deadline = time.monotonic() + 120
        while not metrics.exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert checkpoint.exists() and not (folder / "giant.pt").exists()
    out = io.StringIO()
    train(make_recipe(), folder, console=Console(file=out, width=300))
    assert "giant: resuming from step" in out.getvalue()
    for name in ("giant.pt", "contracted.pt"):
        assert digest(folder / name) == digest(run / "netbooster" / name), name
    lines = [
        [{k: v for k, v in json.loads(line).items() if k != "seconds"} for line in text]
        for text in (
            metrics.read_text().splitlines(),
            (run / "netbooster" / "metrics.jsonl").read_text().splitlines(),
        )
    ]
    assert lines[0] == lines[1]


def test_another_recipe_is_refused_and_nothing_touched(run: Path) -> None:
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    for method in METHODS:
        other = make_recipe(lr=0.2).with_method(method)
        with pytest.raises(NetBoosterError, match=r"train\.lr is 0\.1 there, 0\.2 here"):
            train(other, run / method)
    with pytest.raises(NetBoosterError, match="method is 'vanilla' there, 'netbooster' here"):
        train(make_recipe(), run / "vanilla")
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_bookkeeping_may_change(run: Path) -> None:
    before = digest(run / "vanilla" / "contracted.pt")
    recipe = make_recipe(log_every=7, checkpoint_every=3).with_method("vanilla")
    train(recipe, run / "vanilla")
    assert digest(run / "vanilla" / "contracted.pt") == before


def test_no_contraction_before_the_end(run: Path, tmp_path: Path) -> None:
    """A run that has stopped in the middle trains on, whatever networks others would take."""
    with pytest.raises(NetBoosterError, match=r"contracted\.pt: missing; train the run"):
        load(tmp_path)
    train_until(make_recipe(), tmp_path, "giant.pt")
    assert digest(tmp_path / "giant.pt") == digest(run / "netbooster" / "giant.pt")
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["step"] == 4
    assert not (tmp_path / "contracted.pt").exists()
    out = io.StringIO()
    train(make_recipe(), tmp_path, console=Console(file=out, width=300))
    assert "plt: resuming from step 4" in out.getvalue()
    assert digest(tmp_path / "contracted.pt") == digest(run / "netbooster" / "contracted.pt")


def test_giant_that_cannot_come_any_more_is_said(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run / "netbooster", tmp_path / "run")
    (tmp_path / "run" / "giant.pt").unlink()
    with pytest.raises(NetBoosterError, match=r"giant\.pt: missing, though the training has gone"):
        train_until(make_recipe(), tmp_path / "run", "giant.pt")


def test_folder_of_the_earlier_layout_is_refused(run: Path, tmp_path: Path) -> None:
    """It held recipe.toml beside the folders of two networks."""
    shutil.copytree(run / "netbooster", tmp_path / "boosted")
    (tmp_path / "boosted" / "recipe.toml").rename(tmp_path / "recipe.toml")
    before = sorted(tmp_path.rglob("*"))
    for use in (lambda: train(make_recipe(), tmp_path), lambda: load(tmp_path)):
        with pytest.raises(NetBoosterError, match=r"earlier version.*netbooster train") as error:
            use()
        assert "\n" not in str(error.value)
    assert sorted(tmp_path.rglob("*")) == before


def test_run_says_what_made_it(run: Path) -> None:
    for method in METHODS:
        assert load_recipe(str(run / method / "recipe.toml")).method == method
        assert load(run / method).meta["method"] == method


def test_contraction_that_is_not_exact_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    job = make_job(make_recipe())
    dataset, giant = job.dataset, build_giant(job)
    set_alpha(giant, 1.0)
    _, error = contract_checked(giant, dataset)
    assert error <= 1e-4

    def wrong(model: torch.nn.Module) -> torch.nn.Module:
        result = contract(model)
        with torch.no_grad():
            list(result.parameters())[-2].mul_(1.01)  # the classifier's weights
        return result

    contract = netbooster.contract
    monkeypatch.setattr(netbooster, "contract", wrong)
    with pytest.raises(NetBoosterError, match="differs from the linearized giant by"):
        contract_checked(giant, dataset)


def test_giant_that_amplifies_rounding_is_judged_in_float64(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    job = make_job(make_recipe())
    dataset, giant = job.dataset, build_giant(job)
    set_alpha(giant, 1.0)
    monkeypatch.setattr(netbooster, "MAX_CONTRACTION_ERROR", 1e-12)  # below float32's rounding
    _, error = contract_checked(giant, dataset)
    assert 1e-12 < error < 1e-4
    monkeypatch.setattr(netbooster, "MAX_MERGING_ERROR", 1e-30)
    with pytest.raises(NetBoosterError, match="in float64 by .*the giant's own rounding"):
        contract_checked(giant, dataset)


def test_unknown_device_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NetBoosterError, match="'toaster'"):
        train(make_recipe(), tmp_path, device="toaster")
    if not torch.cuda.is_available():
        with pytest.raises(NetBoosterError, match="no usable GPU"):
            train(make_recipe(), tmp_path, device="cuda")
    assert not list(tmp_path.iterdir())


def test_artifact_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "contracted.pt"
    path.write_bytes(b"not a network")
    with pytest.raises(NetBoosterError, match=r"contracted\.pt: damaged"):
        load(path)
    with pytest.raises(NetBoosterError, match=r"nothing\.pt: missing"):
        load(tmp_path / "nothing.pt")


def test_prediction_takes_paths_pictures_and_arrays(run: Path, tmp_path: Path) -> None:
    model = load(run / "vanilla")
    dataset = load_dataset(make_recipe().data)
    images, _ = next(iter(dataset.split("test", limit=3)))
    with torch.no_grad():
        logits = model.network(dataset.preprocess.normalize(images))
    arrays = [image[0].numpy() for image in images]
    answers = model.predict(arrays)
    assert [a.label for a in answers] == [model.labels[i] for i in logits.argmax(1)]
    for answer, row in zip(answers, logits.softmax(1), strict=True):
        assert list(answer.scores)[0] == answer.label and len(answer.scores) == 10
        assert answer.score == pytest.approx(row.max().item(), abs=1e-5)
        assert sum(answer.scores.values()) == pytest.approx(1, abs=1e-5)
    path = tmp_path / "digit.png"
    Image.fromarray(arrays[0]).save(path)
    colour = np.repeat(arrays[0][:, :, None], 3, axis=2)
    for same in (path, str(path), Image.fromarray(arrays[0]), arrays[0][:, :, None], colour):
        assert model.predict(same).label == answers[0].label
    assert model.predict([]) == []


def test_prediction_refuses_what_is_no_image(run: Path, tmp_path: Path) -> None:
    model = load(run / "vanilla")
    for wrong in (np.zeros((4, 4), np.float32), np.zeros((2, 4, 4, 3), np.uint8), torch.zeros(4)):
        with pytest.raises(NetBoosterError, match="give pixels 0..255 as uint8"):
            model.predict(wrong)
    with pytest.raises(NetBoosterError, match=r"cannot read image .*gone\.png"):
        model.predict(tmp_path / "gone.png")
