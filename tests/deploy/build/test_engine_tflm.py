"""The engine tflm: what it asks for, and that its glue compiles and links against a stand-in."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from tflm_stand_in import ARENA, build_library, has_cpp, write_headers

from deploy.build.engine_tflm import build_tflm, find_library
from deploy.build.host_model import build_host
from deploy.cli import main
from deploy.cli.emulate_command import stage as emulate_stage
from deploy.cli.measure_command import measure_run
from deploy.codegen import compile_model
from deploy.core.errors import DeployError
from deploy.run.context import ModelPaths
from deploy.run.engine import Engine, prepare_engine
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
def context(tmp_path: Path) -> SimpleNamespace:
    """A run of one model, compiled and built for this machine, as far as the commands use it."""
    paths = ModelPaths(tmp_path / "run" / "boosted", "tflm")
    paths.folder.mkdir(parents=True)
    paths.tflite.write_bytes(PEER.read_bytes())
    compile_model(PEER.read_bytes(), paths.generated, name="boosted")
    build_host(paths.generated, paths.host_library)
    return SimpleNamespace(
        target=BOARD, models=[paths], dataset=_Images(), need=lambda path, stage: path,
        engine="nb", force=False, recipe=SimpleNamespace(emulate=SimpleNamespace(images=2)),
    )  # fmt: skip


@needs_cpp
@pytest.mark.skipif(shutil.which("qemu-system-arm") is None, reason="QEMU is not installed")
def test_a_run_is_built_emulated_and_measured(tree: Path, context, capsys) -> None:
    (paths,) = context.models
    build_library(tree, paths.generated)
    prepare_engine(context, Engine("tflm", tree))
    assert context.engine == "tflm"
    name = BOARD.name
    build = json.loads(paths.build_json(name).read_text())
    assert paths.firmware(name).name == "firmware-mps2-an386-tflm.elf"
    # As much arena as the interpreter said, beside the one of the model that it stands for.
    plan = json.loads((paths.generated / "plan.json").read_text())
    assert 0 <= build["sizes"]["arena"] - ((ARENA + 15) & ~15) - plan["arena_bytes"] < 64
    emulate_stage(context)
    record = json.loads(paths.measurement(name).read_text())
    assert record["engine"] == "tflm" and record["exact"]["host"] is True
    assert record["instructions"] > 1_000_000 and record["layers"] == []
    assert record["hashes"]["library"] == build["library_sha256"]
    assert "engine tflm" in capsys.readouterr().out
    prepare_engine(context, Engine("tflm", tree))
    assert "up to date" in capsys.readouterr().out
    measured = measure_run(context, paths, port=None, emulator="qemu", images=3, runs=1)
    assert measured["exact"]["host"] is True and len(measured["images"]) == 3
    assert measured["instructions_range"] == [measured["instructions"]] * 2


@needs_cpp
@pytest.mark.skipif(shutil.which("qemu-system-arm") is None, reason="QEMU is not installed")
def test_other_answers_than_ours_are_told_and_kept(tree: Path, context, capsys) -> None:
    (paths,) = context.models
    build_library(tree)
    prepare_engine(context, Engine("tflm", tree))
    emulate_stage(context)
    record = json.loads(paths.measurement(BOARD.name).read_text())
    assert record["exact"]["host"] is False
    different = int(record["exact"]["reason"].split()[0])
    assert 0 < different <= 20  # two images, ten classes
    assert f"{different} of 20 bytes are not the host build's" in capsys.readouterr().out
