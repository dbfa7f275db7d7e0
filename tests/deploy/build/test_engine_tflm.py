# SPDX-License-Identifier: Apache-2.0
"""The engine tflm: what it asks for, and that its glue compiles and links against a stand-in."""

import json
import shutil
from io import StringIO
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console
from tflm_stand_in import ARENA, build_library, has_cpp, write_headers

from deploy.build.engine_tflm import build_tflm, find_library
from deploy.build.host_model import build_host
from deploy.cli import main
from deploy.codegen import compile_model
from deploy.core.errors import DeployError
from deploy.evidence.measurement import Measurement
from deploy.run import building, measuring
from deploy.run.folder import Run
from deploy.targets import load_target

ROOT = Path(__file__).resolve().parents[3]
PEER = ROOT / "tests" / "data" / "peers" / "small_32_int8.tflite"
BOARD = load_target("mps2-an386")

needs_cpp = pytest.mark.skipif(
    not has_cpp(),
    reason="arm-none-eabi-g++ with its C++ library (libstdc++-arm-none-eabi-newlib) or cmake is "
    "not installed",
)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    folder = tmp_path / "tflite-micro"
    write_headers(folder)
    return folder


def test_it_says_what_to_give(tree: Path, tmp_path: Path, capsys) -> None:
    with pytest.raises(DeployError, match="needs a library: give --tflm-dir DIR"):
        find_library(None, BOARD)
    with pytest.raises(DeployError, match=r"has no tensorflow/lite/micro/micro_interpreter\.h"):
        find_library(tmp_path, BOARD)
    with pytest.raises(DeployError, match=r"has no libtensorflow-microlite\.a for cortex-m4"):
        find_library(tree, BOARD)
    for arguments, message in (
        ([str(PEER), "--engine", "tflm"], "needs a library"),
        ([str(PEER), "--engine", "x"], "unknown engine 'x'; known: nb, tflm"),
        ([str(tmp_path), "--engine", "tflm"], "is no run folder"),
        ([str(PEER), "--tflm-dir", str(tmp_path)], "--tflm-dir is for --engine tflm"),
    ):
        with pytest.raises(SystemExit) as done:
            main(["build", *arguments, "--output", str(tmp_path / "x.elf")])
        error = capsys.readouterr().err
        assert done.value.code == 2 and message in error and error.count("\n") == 1


@needs_cpp
def test_the_glue_links_a_library_with_the_flatbuffer_as_it_is(tree: Path, tmp_path: Path) -> None:
    archive = build_library(tree)
    library = find_library(tree, BOARD)
    assert library.archive == archive
    data = PEER.read_bytes()
    folder = tmp_path / "generated"
    result = build_tflm(data, "small", BOARD, library, folder, tmp_path / "fw.elf", arena=40_000)
    assert result.sizes.weights == len(data)
    assert result.sizes.arena == 40_000
    assert data in result.elf.read_bytes()
    assert json.loads((folder / "plan.json").read_text())["weights_bytes"] == len(data)
    with pytest.raises(DeployError, match="not for the host"):
        build_tflm(data, "small", load_target("host"), library, folder, tmp_path / "x", arena=16)


class _Images:
    """Four images as a data set."""

    def fingerprint(self) -> str:
        return "four"

    def split(self, name, *, limit=None):
        import torch

        images = np.random.default_rng(4).integers(0, 256, (4, 3, 32, 32), dtype=np.uint8)
        yield torch.from_numpy(images)[:limit], torch.arange(4)[:limit]


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A run of one model, compiled and built for this machine."""
    recipe = SimpleNamespace(emulate=SimpleNamespace(images=2))
    run = Run(tmp_path / "run" / "netbooster", recipe)
    run.__dict__["dataset"] = _Images()
    run.folder.mkdir(parents=True)
    run.tflite.write_bytes(PEER.read_bytes())
    run.model_json.write_text('{"accuracy": {}}')
    compile_model(PEER.read_bytes(), run.generated, name="netbooster")
    build_host(run.generated, run.host_library)
    for module in (building, measuring):
        monkeypatch.setattr(module, "runs_in", lambda folder: [run])
        monkeypatch.setattr(module, "chosen_in", lambda folder: run)
    return run


@needs_cpp
@pytest.mark.skipif(shutil.which("qemu-system-arm") is None, reason="QEMU is not installed")
def test_a_run_is_built_and_measured(tree: Path, made: Run) -> None:
    build_library(tree, made.generated)
    console = Console(file=StringIO(), width=1000)
    name, options = BOARD.name, {"engine": "tflm", "tflm_dir": tree, "console": console}
    assert building.build(made.folder, target=name, **options).engine == "tflm"
    build = json.loads(made.build_json(name, "tflm").read_text())
    assert made.firmware(name, "tflm").name == "firmware-mps2-an386-tflm.elf"
    # As much arena as the interpreter said, beside the one of the model that it stands for.
    plan = json.loads((made.generated / "plan.json").read_text())
    assert 0 <= build["sizes"]["arena"] - ((ARENA + 15) & ~15) - plan["arena_bytes"] < 64
    record = measuring.measure(made.folder, target=name, **options)
    assert record == Measurement.load(made.measurement(name, "tflm"))
    assert record.engine == "tflm" and record.exact.host is True
    assert record.instructions > 1_000_000 and record.layers == []
    assert record.hashes["library"] == build["library_sha256"]
    said = console.file.getvalue()
    assert "engine tflm" in said and "up to date" in said
    measured = measuring.measure(made.folder, 3, on="qemu", target=name, engine="tflm")
    assert measured.exact.host is True and len(measured.images) == 3
    assert measured.instructions_range == (measured.instructions,) * 2


@needs_cpp
@pytest.mark.skipif(shutil.which("qemu-system-arm") is None, reason="QEMU is not installed")
def test_other_answers_than_ours_are_told_and_kept(tree: Path, made: Run) -> None:
    build_library(tree)
    console = Console(file=StringIO(), width=1000)
    measuring.measure(made.folder, target=BOARD.name, engine="tflm", tflm_dir=tree, console=console)
    record = Measurement.load(made.measurement(BOARD.name, "tflm"))
    assert record.exact.host is False
    different = int(record.exact.reason.split()[0])
    assert 0 < different <= 20  # two images, ten classes
    assert f"{different} of 20 bytes are not the host build's" in console.file.getvalue()
