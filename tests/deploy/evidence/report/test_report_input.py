# SPDX-License-Identifier: Apache-2.0
"""Run folders that are incomplete, damaged or mixed up."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deploy.core.errors import DeployError
from deploy.evidence.report import write_report
from deploy.evidence.report.images import data_uri


def test_vanilla_alone_is_reported_and_the_verdict_stays_open(run: Any) -> None:
    shutil.rmtree(run.path / "netbooster")
    result, page = run.report()
    text = run.visible(page)
    assert result.verdict is None
    assert text.startswith(
        "Budget NOT CHECKED: parameters, MACs, tensor shapes and planned RAM not known for both "
        "models."
    )
    assert (
        "Missing: the measurement of netbooster. "
        f"netbooster measure RUN --target {run.target} makes it." in text
    )
    assert "vanilla, int8" in text and "netbooster, int8" not in text


@pytest.mark.parametrize(
    ("files", "what", "command"),
    [
        (["metrics.jsonl"], "training log", "netbooster train RECIPE --output RUN"),
        (["summary.json"], "training summary", "netbooster quantize RUN"),
        (["model.json"], "int8 model", "netbooster quantize RUN"),
        (["model.tflite"], "flatbuffer", "netbooster quantize RUN"),
        (["generated/plan.json"], "memory plan", "netbooster compile RUN"),
    ],
)
def test_each_missing_piece_is_named_with_its_command(
    run: Any, files: list[str], what: str, command: str
) -> None:
    for model in ("vanilla", "netbooster"):
        for file in files:
            (run.path / model / file).unlink()
    assert f"Missing: the {what} of vanilla and netbooster. {command} makes it." in run.text()


def test_a_run_that_was_only_trained_has_curves_and_says_what_is_next(run: Any) -> None:
    for model in ("vanilla", "netbooster"):
        for path in (run.path / model).rglob("*"):
            if path.is_file() and path.name != "metrics.jsonl":
                path.unlink()
    (run.path / "recipe.toml").unlink()
    result, page = run.report()
    assert result.verdict is None
    assert page.count('class="curve ') > 6
    assert "Missing: recipe.toml." in run.visible(page)


def test_a_difference_is_broken_even_if_others_are_unknown(run: Any) -> None:
    (run.path / "vanilla" / "generated" / "plan.json").unlink()
    run.change("netbooster/summary.json", "macs", value=1)
    with pytest.raises(
        DeployError, match="Budget BROKEN: .* MACs: vanilla 23,499,152, netbooster 1"
    ):
        run.report()


def test_an_empty_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DeployError, match="holds results; `netbooster run RECIPE"):
        write_report(tmp_path, "mps2-an386", ("vanilla", "netbooster"))
    assert not (tmp_path / "report.html").exists()


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("netbooster/summary.json", "{", "summary.json: Invalid JSON"),
        ("netbooster/summary.json", "[]", "summary.json: Input should be an object"),
        ("netbooster/model.json", "{}", "model.json: network: Field required"),
        ("netbooster/generated/plan.json", '{"tflite_sha256": 1}', "plan.json: tflite_sha256"),
        (
            "netbooster/metrics.jsonl",
            '{"phase": "giant", "st',
            "metrics.jsonl: line 1: Invalid JSON",
        ),
        ("netbooster/metrics.jsonl", '{"phase": "giant", "step": -1}', "line 1: step"),
        ("netbooster/model.tflite", "TFL3", "made from another flatbuffer"),
        ("recipe.toml", "name = ", "recipe.toml: not valid TOML"),
    ],
)
def test_a_damaged_file_is_one_line_that_names_it(
    run: Any, file: str, content: str, message: str
) -> None:
    (run.path / file).write_text(content)
    with pytest.raises(DeployError) as failure:
        run.report()
    assert message in str(failure.value)
    assert "\n" not in str(failure.value)
    assert not (run.path / "report.html").exists()


@pytest.mark.parametrize(
    ("keys", "value", "message"),
    [
        (["hashes", "tflite"], "00" * 32, "made from another flatbuffer"),
        (["target"], "nucleo", "is of target nucleo"),
        (["latency_estimated_ms"], 1.0, "latency_estimated_ms is not cycles_estimated / clock_hz"),
        (["cycles_estimated"], None, "latency_estimated_ms without cycles_estimated"),
        (["ram", "total"], 100, "ram.total is 31444 bytes less than its parts"),
        (["flash", "weights"], 10**9, "flash.total is"),
        (["clock_hz"], 0, "clock_hz: Input should be greater than 0"),
        (["images", 3, "label"], 9, "test image 3 has label 9, the data set says 3"),
    ],
)
def test_an_inconsistent_measurement_is_refused(
    run: Any, keys: list, value: object, message: str
) -> None:
    run.change(f"vanilla/{run.measurement}", *keys, value=value)
    with pytest.raises(DeployError, match=f"vanilla/{run.measurement}: .*{message}"):
        run.report()


def test_an_unreadable_flatbuffer_is_named(run: Any) -> None:
    (run.path / "netbooster" / "model.tflite").write_bytes(b"\xff\xff\xff\x7fTFL3" + b"\xff" * 64)
    for file, keys in (
        ("model.json", ["hashes", "tflite"]),
        ("generated/plan.json", ["tflite_sha256"]),
        (run.measurement, ["hashes", "tflite"]),
    ):
        run.change(f"netbooster/{file}", *keys, value="")
    with pytest.raises(DeployError, match="netbooster/model.tflite: not a readable .tflite"):
        run.report()


def test_wrong_bytes_from_the_board_fail_and_are_on_the_page(run: Any) -> None:
    exact = {"host": True, "tflm": False, "reason": "3 of 120 bytes"}
    run.change(f"netbooster/{run.measurement}", "exact", value=exact)
    with pytest.raises(
        DeployError, match="netbooster: output bytes DIFFER from the TFLM interpreter"
    ):
        run.report()
    assert "output bytes DIFFER" in (run.path / "report.html").read_text()


def test_without_tflm_the_page_says_so(run: Any) -> None:
    exact = {"host": True, "tflm": None, "reason": "no tflite-micro wheel for this platform"}
    run.change(f"netbooster/{run.measurement}", "exact", value=exact)
    assert (
        f"netbooster: every output byte of the firmware equals the host build of the same C on "
        f"{run.images} test images; not compared with TFLM: no tflite-micro wheel for this "
        "platform." in run.text()
    )


def test_the_coarser_count_is_announced_and_not_compared(run: Any) -> None:
    run.change(f"netbooster/{run.measurement}", "counting", value="icount-systick")
    result, page = run.report()
    assert any("coarser" in line for line in result.lines)
    assert any("not comparable: measured under different counting" in x for x in result.lines)
    assert "SysTick (coarser)" in run.visible(page)


def test_without_counts_by_layer_the_page_says_so(run: Any) -> None:
    for model in ("vanilla", "netbooster"):
        run.change(f"{model}/{run.measurement}", "layers", value=[])
        run.change(f"{model}/{run.measurement}", "cycles_estimated", value=None)
        run.change(f"{model}/{run.measurement}", "latency_estimated_ms", value=None)
    result, page = run.report()
    assert result.verdict is True
    assert "No counts by layer" in page
    assert "Latency, estimated" not in run.visible(page).split("Accuracy")[0]


def test_int8_that_loses_more_than_a_point_is_announced(run: Any) -> None:
    run.change("netbooster/model.json", "accuracy", "int8_test", value=0.88)
    result, _ = run.report()
    assert result.lines[1:] == ["netbooster, int8 loses 1.40 points against float."]


def test_an_inexact_contraction_fails(run: Any) -> None:
    run.change("netbooster/summary.json", "contraction_error", value=2e-4)
    with pytest.raises(DeployError, match="differs from the linearized giant by 2.0e-04"):
        run.report()


def test_an_arena_that_is_not_the_planned_one_is_announced(run: Any) -> None:
    run.change(f"netbooster/{run.measurement}", "ram", "arena", value=30_000)
    result, _ = run.report()
    assert "reports an arena of 30,000 bytes, the plan says 30,720" in result.lines[1]


def test_a_resumed_log_repeats_steps_and_diverged_values_are_left_out(run: Any) -> None:
    path = run.path / "netbooster" / "metrics.jsonl"
    lines = path.read_text().splitlines()
    again = json.loads(lines[-1]) | {"loss": float("nan")}
    path.write_text("\n".join([*lines, json.dumps(again)]) + "\n")
    _, page = run.report()
    assert "Values that are not finite numbers are left out." in run.visible(page)
    assert "nan" not in page.lower().split("</style>")[1].split("recipe")[0]


@pytest.mark.parametrize(
    "shape", [(8, 8), (1, 8, 8), (3, 8, 8), (8, 8, 1), (8, 8, 3), (3, 5, 7), (1, 1, 9)]
)
def test_images_of_every_layout_become_png(shape: tuple[int, ...]) -> None:
    assert data_uri(np.zeros(shape, np.uint8)).startswith("data:image/png;base64,iVBOR")


@pytest.mark.parametrize(
    "image", [b"GIF89a", np.zeros((8, 8), np.float32), np.zeros((2, 8, 8), np.uint8)]
)
def test_what_is_no_image_is_refused(image: bytes | np.ndarray) -> None:
    with pytest.raises(DeployError, match="sample image is"):
        data_uri(image)


def test_one_run_alone_is_reported_without_a_reference(run: Any) -> None:
    result = write_report(run.path, run.target, ("netbooster",), sample_images=run.samples())
    text = run.visible(result.path.read_text())
    assert result.verdict is None
    assert text.startswith("Budget NOT CHECKED: netbooster stands alone; `netbooster run` compares")
    assert "netbooster, int8" in text and "reference" not in text.lower()
    assert "Missing" not in text
    inside = write_report(run.path / "netbooster", run.target, sample_images=run.samples())
    assert inside.path == run.path / "netbooster" / "report.html"
    assert inside.lines[0] == result.lines[0]


def test_why_a_run_is_put_forward_is_on_the_page(run: Any) -> None:
    why = "netbooster, validation accuracy 90.00% against 80.00% of vanilla"
    result = write_report(run.path, run.target, run.models, why=why, sample_images=run.samples())
    assert f"Put forward: {why}." in run.visible(result.path.read_text())


def test_the_headline_is_of_the_run_that_is_put_forward(run: Any) -> None:
    for name in run.models:
        page = write_report(
            run.path, run.target, run.models, selected=name, sample_images=run.samples()
        ).path
        text = run.visible(page.read_text())
        assert f"Accuracy, {name}, int8" in text and f"per inference, {name}" in text
