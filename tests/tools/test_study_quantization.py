# SPDX-License-Identifier: Apache-2.0
"""The study of contraction and int8: its arithmetic on made-up answers, and one run in small."""

import importlib.util
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from deploy.core.errors import DeployError
from netbooster.experiment.recipe import parse_recipe
from netbooster.experiment.run import train

TOOL = Path(__file__).parents[2] / "tools" / "study_quantization.py"


@pytest.fixture(scope="module")
def tool() -> Iterator[ModuleType]:
    import torch

    spec = importlib.util.spec_from_file_location("study_quantization", TOOL)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["study_quantization"] = module
    threads = torch.get_num_threads()
    spec.loader.exec_module(module)
    yield module
    torch.set_num_threads(threads)
    del sys.modules["study_quantization"]


def answers(tool: ModuleType, floats: int, ints: int, images: int = 1000):
    """So many right answers in float and in int8; the first images are the easy ones."""
    order = np.arange(images)
    return tool.Answers(order < floats, order < ints)


def test_paired_differences(tool: ModuleType) -> None:
    pairs = [
        (answers(tool, 700, 699), answers(tool, 750, 748)),
        (answers(tool, 690, 690), answers(tool, 760, 757)),
        (answers(tool, 710, 708), answers(tool, 740, 740)),
    ]
    found = tool.compare(pairs)
    assert found["images"] == 1000
    assert [seed["gain_float"] for seed in found["seeds"]] == pytest.approx([5, 7, 3])
    assert [seed["lost"] for seed in found["seeds"]] == pytest.approx([0.1, 0.3, -0.2])
    assert found["lost"]["mean"] == pytest.approx(0.2 / 3)
    assert found["drop"]["boosted"]["mean"] == pytest.approx(0.5 / 3)
    assert found["keeps_gain"] and found["keeps_accuracy"]
    # Over images: the mean over seeds of each image's four-fold difference.
    per_image = np.mean(
        [
            100.0 * ((b.float_right * 1 - v.float_right) - (b.int8_right * 1 - v.int8_right))
            for v, b in pairs
        ],
        axis=0,
    )
    half = 1.96 * per_image.std(ddof=1) / 1000**0.5
    assert found["lost"]["interval_images"] == pytest.approx(half)
    assert per_image.mean() == pytest.approx(found["lost"]["mean"])


def test_a_lost_gain_is_said(tool: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    found = tool.compare([(answers(tool, 700, 700), answers(tool, 750, 746))] * 3)
    assert not found["keeps_gain"] and not found["keeps_accuracy"]
    tool.report({"methods": {"post-training:min-max": found}})
    text = capsys.readouterr().out
    assert "gain lost: +0.400 points" in text and "lost: NO" in text


@pytest.fixture(scope="module")
def seed_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A very short training on digits by both methods."""
    folder = tmp_path_factory.mktemp("study") / "seed0"
    recipe = parse_recipe(
        {
            "name": "t",
            "data": {"name": "digits", "resolution": 32, "channels": 1},
            "model": {"name": "mobilenetv2-tiny"},
            "train": {"steps": 4, "batch_size": 8, "threads": 1},
            "quantization": {"calibration_samples": 16, "fine_tuning": {"steps": 1}},
        },
        "t.toml",
    )
    for method in ("vanilla", "netbooster"):
        train(recipe.with_method(method), folder / method)
    return folder


def test_a_study_in_small(
    tool: ModuleType, seed_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [
        str(seed_folder), "--vanilla", "vanilla", "--boosted", "netbooster",
        "--limit", "40", "--cache", str(tmp_path / "cache"),
        "--out", str(tmp_path / "study.json"), "--method", "equalized:mse",
    ]  # fmt: skip
    assert tool.main(arguments) == 0
    text = capsys.readouterr().out
    found = json.loads((tmp_path / "study.json").read_text())
    assert list(found["methods"]) == ["equalized:mse"]
    assert found["methods"]["equalized:mse"]["images"] == 40
    assert len(found["merged_layers"]) == 8  # every other of the 16 blocks
    assert set(found["spreads"]) == {"weight_db", "peak", "balance", "output_db"}
    assert found["spreads"]["weight_db"]["boosted"] > 20
    assert "the 8 merged layers" in text and "weight_db" in text
    # The second time everything comes from the cache, and says the same.
    kept = sorted((tmp_path / "cache").iterdir())
    stamps = [path.stat().st_mtime_ns for path in kept]
    assert len(kept) == 2
    assert tool.main(arguments) == 0
    assert [path.stat().st_mtime_ns for path in kept] == stamps
    assert capsys.readouterr().out == text


def test_bad_arguments(
    tool: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tool.main([str(tmp_path)]) == 2
    assert "no vanilla network; looked for mini-table1" in capsys.readouterr().err
    for text in ("magic:min-max", "equalized", "equalized:magic"):
        with pytest.raises(DeployError, match="give METHOD:CALIBRATION"):
            tool.parse_method(text)
