# SPDX-License-Identifier: Apache-2.0
"""The tools that set our engine beside others: what they do without a network or an emulator."""

import importlib
import json
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest

from deploy.tflite import parse_graph
from deploy.tflite.tflm import TflmModel, tflm_available

ROOT = Path(__file__).parents[2]
PEERS = ROOT / "tests" / "data" / "peers"
SMALL = PEERS / "small_32_int8.tflite"


@pytest.fixture(scope="module", autouse=True)
def tools_on_path():
    sys.path.insert(0, str(ROOT / "tools"))
    yield
    sys.path.remove(str(ROOT / "tools"))


def load(name):
    return importlib.import_module(name)


@pytest.mark.skipif(tflm_available() is not None, reason=str(tflm_available()))
def test_adapted_model_is_what_the_importer_wants():
    adapted = load("engine_peers.adapt").adapt(SMALL.read_bytes())
    graph = parse_graph(adapted, "adapted")
    kinds = [op.kind for op in graph.operators]
    assert "MEAN" not in kinds and kinds.count("AVERAGE_POOL_2D") == 1
    for op in graph.operators:
        if op.kind in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"):
            source, weights, bias = (graph.tensors[index] for index in op.inputs[:3])
            product = np.float32(
                np.float64(source.quantization.scales[0]) * np.float64(weights.quantization.scales)
            )
            assert np.array_equal(np.float32(bias.quantization.scales), product)
    # Still the same network: not every output is equal, because MEAN kept its input's scale.
    image = np.random.default_rng(0).integers(-128, 128, (1, 32, 32, 3)).astype(np.int8)
    ours, theirs = TflmModel(SMALL.read_bytes()).invoke(image), TflmModel(adapted).invoke(image)
    assert ours.shape == theirs.shape and len(np.unique(theirs)) > 3


def test_saved_figures_are_whole_and_marked():
    bench = load("bench_engine")
    content = json.loads(bench.SAVED.read_text())
    assert content["saved"] == "2026-11-22" and "QEMU" in content["method"]
    for model in bench.MODELS:
        rows = bench.saved(model, [])
        assert {"TFLM with CMSIS-NN", "TinyEngine, integer requantization"} <= {
            row["runtime"] for row in rows
        }
        for row in rows:
            assert row["saved"] == content["saved"] and row["ours"] is False
            assert row["instructions"] > row["macs"] and row["ram"] > 0 < row["code"]
        # What ran now is not shown a second time.
        ran = bench.saved(model, [{"runtime": "bakenn 1.0.0, cmsis-nn"}])
        assert not any(row["runtime"].startswith("bakenn") for row in ran)
        assert len(ran) == len(rows) - 1


def test_picture_and_table(capsys):
    bench, picture = load("bench_engine"), load("engine_peers.picture")
    rows = [row for model in bench.MODELS for row in bench.saved(model, [])]
    drawn = picture.render(rows)
    assert drawn == picture.render(rows)
    text = " ".join(ElementTree.fromstring(drawn).itertext())
    assert "TFLM with CMSIS-NN (saved)" in text and "(not exact)" in text
    bench.print_table(rows)
    out = capsys.readouterr().out
    assert out.count("\n|") == len(rows) + 1 and "not run now" in out


def test_cycles_have_a_source_and_a_board():
    check = load("check_cycles")
    for run in check.RUNS:
        assert len(run.sha256) == 64 and run.cycles > 0 and run.source
        assert check.load_target(run.board).cycles is not None


def test_a_model_without_a_measurement_is_named(capsys, monkeypatch):
    check = load("check_cycles")
    monkeypatch.setattr(sys, "argv", ["check_cycles.py", str(SMALL)])
    assert check.main() == 2
    assert "published measurement" in capsys.readouterr().err


def test_a_folder_without_tflm_is_named(tmp_path):
    bakenn, tflm = load("engine_peers.bakenn"), load("engine_peers.tflm")
    target = tflm.peer_target(check_target(), tmp_path)
    assert target.stack_bytes == tflm.STACK_BYTES and target.cflags == ["-O3"]
    with pytest.raises(bakenn.PeerUnavailableError, match="libtensorflow-microlite"):
        tflm.build(tmp_path, SMALL.read_bytes(), target, tmp_path / "out")


def check_target():
    from deploy.targets import load_target

    return load_target("mps2-an386")
