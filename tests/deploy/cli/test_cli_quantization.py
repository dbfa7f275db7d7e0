# SPDX-License-Identifier: Apache-2.0
"""Commands around quantization: inspect, fit, quantize's choices, verify's refusals."""

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from deploy.cli import main
from deploy.core.errors import DeployError
from deploy.run.folder import Run
from deploy.run.ladder import Attempt, Settings, choose, ladder
from deploy.run.telling import teller

NET = cast(Run, SimpleNamespace(name="net"))
PEERS = Path(__file__).parents[2] / "data" / "peers"

silent = teller(None)

RECIPE = """
name = "t"
[data]
name = "digits"
resolution = 32
channels = 1
[model]
name = "mobilenetv2-tiny"
[train]
steps = 4
batch_size = 8
"""


def run(capfd: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of one command."""
    with pytest.raises(SystemExit) as stop:
        main(list(arguments))
    out, err = capfd.readouterr()
    return int(stop.value.code or 0), out, err


def refused(capfd: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line with which a command refuses its input."""
    code, _, err = run(capfd, *arguments)
    lines = [line for line in err.splitlines() if line.strip()]
    assert (code, len(lines)) == (2, 1), err
    return lines[0]


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    (tmp_path / "recipe.toml").write_text(RECIPE)
    return tmp_path


def test_inspect_prints_and_draws(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    svg = tmp_path / "graph.svg"
    model = PEERS / "small_32_int8.tflite"
    code, out, _ = run(capfd, "inspect", str(model), "--svg", str(svg))
    assert code == 0
    assert "785,024 MACs" in out and "arena 10,304 B" in out and "DEPTHWISE_CONV_2D" in out
    assert svg.read_text().startswith("<svg")


def test_inspect_refuses_other_files(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    other = tmp_path / "x.tflite"
    other.write_bytes(b"no model at all")
    assert "x.tflite: not a TFLite model" in refused(capfd, "inspect", str(other))
    assert "cannot read" in refused(capfd, "inspect", str(tmp_path / "missing.tflite"))


def test_fit_refuses_unknown_names(capfd: pytest.CaptureFixture[str]) -> None:
    assert "mcunet-in3" in refused(capfd, "fit", "resnet")
    assert "mps2-an386" in refused(capfd, "fit", "mcunet-in3", "--target", "toaster")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--method", "magic"], "unknown method 'magic'"),
        (["--via", "magic"], "unknown road 'magic'"),
        (["--via", "onnx2tf", "--max-drop", "1"], "only knows post-training"),
        (["--via", "onnx2tf", "--ranges", "mse"], "only knows post-training"),
    ],
)
def test_quantize_refuses(
    capfd: pytest.CaptureFixture[str], run_folder: Path, arguments: list[str], message: str
) -> None:
    assert message in refused(capfd, "quantize", str(run_folder), *arguments)
    assert [path.name for path in run_folder.iterdir()] == ["recipe.toml"]


def test_verify_refuses_what_it_cannot_match(
    capfd: pytest.CaptureFixture[str], run_folder: Path
) -> None:
    folder = run_folder
    assert "netbooster quantize" in refused(capfd, "verify", str(folder))
    (folder / "model.tflite").write_bytes(b"x")
    (folder / "model.json").write_text("{}")
    assert "run `netbooster quantize` again" in refused(capfd, "verify", str(folder))


def test_images_that_are_none_are_refused(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    model, images = tmp_path / "m.onnx", tmp_path / "c.npy"
    model.write_bytes(b"x")
    images.write_bytes(b"no array")
    line = refused(capfd, "quantize", str(model), "--images", str(images))
    assert "c.npy: not a .npy file" in line
    np.save(images, np.zeros((0, 3, 8, 8), np.float32))
    assert "calibration set is empty" in refused(capfd, "quantize", str(model), "-i", str(images))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c.npy", "m.onnx"]


@pytest.mark.parametrize(("budget", "taken"), [(2.5, 0), (0.5, 2), (0.2, 4)])
def test_a_budget_takes_the_first_method_that_fits(
    monkeypatch: pytest.MonkeyPatch, budget: float, taken: int
) -> None:
    first = Settings("post-training", "min-max", 64)
    steps = ladder(first, budget)
    made: list[Settings] = []

    def attempt(_: object, settings: Settings, **__: object) -> Attempt:
        made.append(settings)
        return Attempt(b"", None, None, settings, {})  # type: ignore[arg-type]

    after = dict(zip(steps, (0.880, 0.890, 0.896, 0.850, 0.8985), strict=True))
    monkeypatch.setattr("deploy.run.ladder.attempt", attempt)
    monkeypatch.setattr("deploy.run.ladder._accuracies", lambda _, own: (0.9, after[own.settings]))
    found = choose(NET, first, budget, say=silent)
    assert found.settings == steps[taken] and made == steps[: taken + 1]
    assert [entry["method"] for entry in found.tried] == [s.method for s in steps[: taken + 1]]
    assert found.tried[-1]["drop_points"] == pytest.approx(100 * (0.9 - after[steps[taken]]))


def test_a_budget_that_nothing_meets_names_the_best(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "deploy.run.ladder.attempt",
        lambda _, settings, **__: Attempt(b"", None, None, settings, {}),  # type: ignore[arg-type]
    )
    monkeypatch.setattr(
        "deploy.run.ladder._accuracies",
        lambda _, own: (0.9, 0.89 if own.settings.method == "equalized" else 0.8),
    )
    first = Settings("post-training", "min-max", 64)
    with pytest.raises(
        DeployError, match=r"within 0\.5 points; the best, equalized .* loses 1\.00"
    ):
        choose(NET, first, 0.5, say=silent)


def test_methods_are_tried_in_order_of_cost() -> None:
    first = Settings("post-training", "min-max", 64)
    assert ladder(first, None) == [first]
    tried = [(step.method, step.ranges) for step in ladder(first, 0.5)]
    assert tried == [
        ("post-training", "min-max"),
        ("post-training", "mse"),
        ("equalized", "min-max"),
        ("equalized", "mse"),
        ("quantization-aware", "min-max"),
    ]
    assert [s.method for s in ladder(Settings("quantization-aware", "min-max", 8), 1)] == [
        "quantization-aware"
    ]
