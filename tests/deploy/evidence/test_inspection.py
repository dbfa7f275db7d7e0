# SPDX-License-Identifier: Apache-2.0
"""`netbooster inspect`: facts of known models, float models, and the drawing."""

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
from torch import nn

from deploy.core.errors import DeployError
from deploy.evidence.inspection import inspect_model, render_svg
from deploy.quantize import quantize_network
from deploy.tflite import read_graph

PEERS = Path(__file__).parents[2] / "data" / "peers"


@pytest.fixture(scope="module")
def small():
    return inspect_model((PEERS / "small_32_int8.tflite").read_bytes(), "small_32_int8.tflite")


@pytest.fixture(scope="module")
def float_model():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5))
    images = np.random.default_rng(0).uniform(-1, 0.99, (2, 3, 8, 8)).astype(np.float32)
    return quantize_network(network, images).float_flatbuffer()


def test_counts_of_a_known_model(small):
    assert (small.macs, len(small.operators), small.file_bytes) == (785_024, 23, 55_688)
    first = small.operators[0]
    assert (first.operator, first.output_shape) == ("CONV_2D", (1, 16, 16, 16))
    assert (first.macs, first.weight_scales, first.constant_bytes) == (110_592, 16, 432 + 64)
    assert first.live_bytes == 32 * 32 * 3 + 16 * 16 * 16
    assert small.refusal is None


def test_a_shortcut_stays_alive(small):
    add = next(op for op in small.operators if op.operator == "ADD")
    assert len(add.inputs) == 2 and min(add.inputs) < add.index - 1
    between = small.operators[add.index - 1]
    alone = between.output_bytes + small.operators[add.index - 2].output_bytes
    assert between.live_bytes == alone + small.operators[min(add.inputs)].output_bytes


def test_memory_by_schedule(small):
    arena = {schedule.schedule: schedule.arena_bytes for schedule in small.schedules}
    assert arena["rows"] <= arena["fused"] < arena["layer"]
    assert arena["auto"] in arena.values()


def test_published_macs():
    mcunet = inspect_model((PEERS / "mcunet_in3_176_int8.tflite").read_bytes(), "mcunet")
    assert mcunet.macs == 81_785_520


def test_a_float_model_is_shown_and_its_refusal_explained(float_model):
    found = inspect_model(float_model, "float.tflite")
    assert [op.operator for op in found.operators] == ["CONV_2D", "FULLY_CONNECTED"]
    assert found.operators[0].type == "float32" and found.operators[0].scale is None
    assert found.macs == 6 * 6 * 4 * 27 + 144 * 5
    assert found.schedules == ()
    assert "a float model" in (found.refusal or "")


def test_the_compiler_answers_a_float_model_clearly(float_model):
    with pytest.raises(DeployError, match=r"f: a float model \(3 of 3 .*quantize it") as error:
        read_graph(float_model, "f")
    assert "\n" not in str(error.value)


def test_the_drawing(small):
    text = render_svg(small)
    assert text == render_svg(small)
    root = ElementTree.fromstring(text)
    boxes = [e for e in root.iter() if e.get("class") == "box"]
    bars = [e for e in root.iter() if e.get("class") in ("bar", "peak")]
    assert len(boxes) == len(bars) == 23
    assert max(float(bar.get("width", 0)) for bar in bars) == 300
    for schedule in small.schedules:
        assert f"{schedule.schedule} {schedule.arena_bytes:,} B" in text
    titles = [e.text or "" for e in root.iter() if e.tag.endswith("title")]
    assert any("110,592 MACs, 496 B of constants" in title for title in titles)


def test_the_drawing_of_a_float_model_says_why_it_is_not_compiled(float_model):
    text = render_svg(inspect_model(float_model, "float.tflite"))
    ElementTree.fromstring(text)
    assert "not compiled: float.tflite: a float model" in text


def test_bytes_that_are_no_model():
    with pytest.raises(DeployError, match="not a TFLite model"):
        inspect_model(b"x" * 100, "x.tflite")
