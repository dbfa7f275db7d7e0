# SPDX-License-Identifier: Apache-2.0
"""`netbooster table`, as far as it trains nothing."""

import json
from pathlib import Path

import pytest

from deploy.cli import main


def run(capfd: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of one command."""
    with pytest.raises(SystemExit) as stop:
        main(["table", *arguments])
    out, err = capfd.readouterr()
    return int(stop.value.code or 0), out, err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("3",), "no table '3'; choose one of figure1, figure3, table1"),
        (("6", "--mini", "--seeds", "0,x"), "--seeds 0,x: give numbers separated by commas"),
        (("6", "--mini", "--row", "ratio-5"), "table6 has no row 'ratio-5'; rows: ratio-2"),
        (("6", "--mini", "--set", "train.stepz=3"), "unknown key; did you mean 'steps'?"),
        (("6", "--mini", "--scale", "0"), "scale 0.0: must be positive"),
    ],
)
def test_bad_input_is_one_line(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    code, _, err = run(capfd, *arguments, "--output", str(tmp_path / "out"))
    assert code == 2 and message in err
    assert len(err.strip().splitlines()) == 1 and "Traceback" not in err
    assert not (tmp_path / "out").exists()


def test_report_prints_finished_runs_beside_the_paper(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from netbooster.experiment.recipe import save_recipe
    from netbooster.experiment.table import prepare_recipe
    from netbooster.training.checkpoint import save_torch

    for seed, accuracy in enumerate((0.70, 0.72)):
        recipe = prepare_recipe("table6/ratio-4@mini", seed=seed)
        folder = tmp_path / f"seed{seed}" / recipe.name
        save_recipe(recipe, folder)
        content = {
            "format": 1,
            "steps": 2000,
            "accuracy": {"test": accuracy, "train": 0.8},
            "giant_accuracy": {"test": 0.75},
        }
        save_torch(folder / "contracted.pt", content)
    code, out, err = run(capfd, "6", "--mini", "--report", "--output", str(tmp_path))
    assert code == 0, err
    (line,) = [line for line in out.splitlines() if "Ratio 4" in line]
    for cell in ("53.52", "75.00 ± 0.00", "71.00 ± 12.71", "-0.18", "80.00", "2,000", "0.05"):
        assert cell in line, (cell, line)
    assert "Ratio 2" not in out
    stored = json.loads((tmp_path / "table6.json").read_text())
    assert [row["recipe"] for row in stored["rows"]] == ["ratio-4"]
