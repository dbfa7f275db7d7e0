# SPDX-License-Identifier: Apache-2.0
"""What the page and the terminal say about a complete run."""

import io
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from deploy.core.errors import DeployError
from deploy.evidence.report import write_report
from deploy.evidence.report.terminal import print_summary


def test_first_line_is_the_verdict_with_the_numbers(run: Any) -> None:
    result, page = run.report()
    expected = (
        "Budget kept: the netbooster model has the same parameters (750,280), MACs (23,499,152), "
        f"tensor shapes ({run.layer_count} tensors) and planned RAM (30,720 bytes) as the "
        "vanilla one."
    )
    assert result.verdict is True
    assert result.lines == [expected]
    assert run.visible(page).startswith(expected)


@pytest.mark.parametrize(
    ("file", "keys", "value", "named"),
    [
        (
            "summary.json",
            ["parameters"],
            750_281,
            "Parameters: vanilla 750,280, netbooster 750,281",
        ),
        ("summary.json", ["bn_parameters"], 0, "of these in batch normalization"),
        ("summary.json", ["macs"], 23_499_151, "MACs"),
        ("summary.json", ["tensor_shapes", 3, 1], [16, 16, 49], "Activation shapes"),
        ("summary.json", ["state_shapes", 0, 0], "other.weight", "Weight shapes"),
        ("generated/plan.json", ["arena_bytes"], 30_724, "Planned RAM"),
        ("generated/plan.json", ["layers", 2, "output_shape"], [1, 8, 8, 48], "int8 graph"),
    ],
)
def test_a_broken_budget_fails_but_leaves_the_page(
    run: Any, file: str, keys: list, value: object, named: str
) -> None:
    run.change(f"netbooster/{file}", *keys, value=value)
    with pytest.raises(DeployError, match=re.escape(named)) as failure:
        run.report()
    assert "\n" not in str(failure.value)
    page = (run.path / "report.html").read_text()
    assert run.visible(page).startswith("Budget BROKEN: ")
    assert named in run.visible(page)
    assert "must be equal" in page


def test_more_tensors_than_vanilla_break_the_budget(run: Any) -> None:
    shapes = run.value("netbooster/summary.json", "state_shapes")
    run.change("netbooster/summary.json", "state_shapes", value=[*shapes, ["extra.weight", [1]]])
    with pytest.raises(DeployError, match="vanilla has 2 tensors, netbooster 3"):
        run.report()


def test_differences_come_with_their_cause(run: Any) -> None:
    result, page = run.report()
    text = run.visible(page)
    assert len(result.lines) == 1  # all within 1%
    assert "code +64 bytes; equal: tables, weights, other; every layer calls the same" in text
    layers = [
        run.value(f"{name}/{run.measurement}", "layers") for name in ("vanilla", "netbooster")
    ]
    differing = sum(
        before["instructions"] != after["instructions"]
        for before, after in zip(*layers, strict=True)
    )
    assert f"{differing} of {run.layer_count} layers differ" in text
    assert "the requantization shift differs in 1 of 4 channels" in text


def test_instructions_more_than_one_percent_apart_are_flagged(run: Any) -> None:
    file = f"netbooster/{run.measurement}"
    run.change(file, "instructions", value=int(run.value(file, "instructions") * 1.02))
    result, page = run.report()
    assert result.verdict is True
    assert len(result.lines) == 2
    assert result.lines[1].startswith("Instructions: netbooster differs from vanilla by +2.")
    assert "more than 1%" in run.visible(page)


def test_flatbuffer_cause_names_the_content(run: Any) -> None:
    run.change_flatbuffer("netbooster", weight_scale=0.9, description="x" * 100)
    result, _ = run.report()
    assert "Flatbuffer" in result.lines[1]
    assert re.search(r"Cause: structure \+\d+ bytes; equal: weights and biases,", result.lines[1])


def test_other_kernels_are_named(run: Any) -> None:
    run.change(f"netbooster/{run.measurement}", "layers", 0, "kernel", value="nb_conv_generic_s8")
    text = run.text()
    assert "other kernels in stem (nb_conv3x3_s8 against nb_conv_generic_s8)" in text


def test_the_page_loads_nothing(run: Any) -> None:
    _, page = run.report()
    assert "http:" not in page and "https:" not in page
    assert not re.search(r"<(script|link|iframe|object|embed)\b", page)
    assert not re.search(r"url\(|@import", page)
    sources = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert len(sources) == run.images
    assert all(source.startswith("data:image/png;base64,") for source in sources)


def test_equal_inputs_give_equal_bytes_anywhere(run: Any, tmp_path: Path) -> None:
    _, first = run.report()
    copy = tmp_path / "elsewhere" / "copy"
    shutil.copytree(run.path, copy)
    write_report(copy, run.target, run.models, sample_images=run.samples())
    second = (copy / "report.html").read_text()
    assert first == second
    assert str(tmp_path) not in first


def test_hostile_text_is_escaped(run: Any) -> None:
    evil = "<script>alert(1)</script>\"'&"
    for name in ("vanilla", "netbooster"):
        run.change(f"{name}/model.json", "labels", 3, value=evil)
        run.change(f"{name}/summary.json", "network", value=evil)
        run.change(f"{name}/{run.measurement}", "layers", 2, "name", value=evil)
    (run.path / "recipe.toml").write_text(f'name = "x"\n# {evil}\n')
    _, page = run.report()
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;&#34;&#39;&amp;" in page


def test_tags_are_balanced(run: Any) -> None:
    void = {"meta", "img", "br"}

    class Balance(HTMLParser):
        stack: list[str] = []

        def handle_starttag(self, tag: str, attrs: list) -> None:
            if tag not in void:
                self.stack.append(tag)

        def handle_startendtag(self, tag: str, attrs: list) -> None:
            pass

        def handle_endtag(self, tag: str) -> None:
            assert self.stack.pop() == tag

    parser = Balance()
    parser.feed(run.report()[1])
    assert parser.stack == []


def test_board_answers_and_scores(run: Any) -> None:
    _, page = run.report()
    assert f"netbooster: {run.images - 1} of {run.images} test images right" in run.visible(page)
    assert page.count('<figure class="wrong">') == 1


def test_three_kinds_of_time_stay_apart(run: Any) -> None:
    text = run.text()
    assert "Latency, estimated" in text and "Latency, measured" not in text
    assert "not measured not measured" in text
    for name in ("vanilla", "netbooster"):
        run.change(f"{name}/{run.measurement}", "cycles_measured", value=5_000_000)
    text = run.text()
    assert "Latency, measured 200 ms 5 M cycles measured on the board" in text


def test_terminal_shows_the_key_figures(run: Any) -> None:
    stream = io.StringIO()
    print_summary(run.path, run.target, run.models, console=Console(file=stream, width=120))
    shown = stream.getvalue()
    for expected in ("86.20%", "89.10%", "+2.90 points", "23,499,152", "+64 (+0.008%)", "11 of 12"):
        assert expected in shown
    assert "Budget kept: " in shown


def test_both_engines_stand_side_by_side(run: Any) -> None:
    assert "Beside TensorFlow Lite Micro" not in run.text()
    for model in ("vanilla", "netbooster"):
        ours = json.loads((run.path / model / run.measurement).read_text())
        theirs = ours | {
            "engine": "tflm",
            "layers": [],
            "instructions": 4 * ours["instructions"],
            "cycles_estimated": 5 * ours["cycles_estimated"],
            "latency_estimated_ms": 5 * ours["latency_estimated_ms"],
            "exact": {"host": model == "vanilla", "tflm": None, "reason": "3 of 40 bytes are not"},
            "hashes": ours["hashes"] | {"library": "ba" * 32},
        }
        path = run.path / model / f"measurement-{run.target}-tflm.json"
        path.write_text(json.dumps(theirs))
    text = run.text()
    count = run.value(f"netbooster/{run.measurement}", "instructions")
    assert f"Instructions {count:,} {4 * count:,} 4.00" in text
    assert "Bytes equal to the host build all all" in text
    assert "Bytes equal to the host build all no: 3 of 40 bytes are not" in text
    assert "library SHA-256 " + "ba" * 32 in text
    assert "Not comparable" not in text
    run.change(f"netbooster/measurement-{run.target}-tflm.json", "counting", value="dwt")
    assert "Not comparable: measured under different counting" in run.text()
    run.change(f"netbooster/measurement-{run.target}-tflm.json", "hashes", "tflite", value="0" * 64)
    with pytest.raises(DeployError, match=r"another flatbuffer .* --engine tflm --tflm-dir DIR"):
        run.report()


def test_every_way_of_counting_is_explained(run: Any) -> None:
    for model in ("vanilla", "netbooster"):
        run.change(f"{model}/{run.measurement}", "counting", value="renode-executed-instructions")
    text = run.text()
    assert "read at two marks in the firmware" in text
    assert "does not know this method" not in text
