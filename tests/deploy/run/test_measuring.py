# SPDX-License-Identifier: Apache-2.0
"""A run and a single file, measured: bytes compared, the form that the report reads."""

import json
import shutil
from io import StringIO
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from pty_bridge import PtyBoard
from rich.console import Console

from deploy.build.firmware import build_firmware
from deploy.build.host_model import HostModel, build_host
from deploy.cli import main
from deploy.codegen import compile_model
from deploy.core.errors import DeployError
from deploy.evidence.measurement import Measurement
from deploy.evidence.measuring import DisagreementError
from deploy.run import measure, measuring
from deploy.run.building import read_firmware
from deploy.run.folder import Run
from deploy.targets import load_target

PEER = Path(__file__).resolve().parents[2] / "data" / "peers" / "small_32_int8.tflite"
HOST = load_target("host")

pytestmark = pytest.mark.skipif(
    shutil.which("cmake") is None or shutil.which("cc") is None,
    reason="cmake or a C compiler is not installed",
)
needs_qemu = pytest.mark.skipif(
    any(shutil.which(t) is None for t in ("qemu-system-arm", "arm-none-eabi-gcc")),
    reason="qemu-system-arm or arm-none-eabi-gcc is not installed",
)


class _Data:
    """Twelve random images as a data set."""

    def __init__(self) -> None:
        import torch

        generator = torch.Generator().manual_seed(1)
        self.images = torch.randint(0, 256, (12, 3, 32, 32), generator=generator, dtype=torch.uint8)

    def fingerprint(self) -> str:
        return "random"

    def split(self, name, *, limit=None):
        import torch

        yield self.images[:limit], torch.arange(12)[:limit]


@pytest.fixture
def made(tmp_path, monkeypatch):
    """A run of one model, compiled and built for this machine."""
    run = Run(tmp_path / "netbooster", SimpleNamespace())
    run.__dict__["dataset"] = _Data()
    run.folder.mkdir()
    run.tflite.write_bytes(PEER.read_bytes())
    run.model_json.write_text('{"accuracy": {}}')
    compile_model(PEER.read_bytes(), run.generated, name="netbooster")
    built = build_firmware(run.generated, HOST, run.firmware("host"))
    build_host(run.generated, run.host_library)
    record = {"compiler": "cc", "flags": "-O2", "sizes": vars(built.sizes)}
    run.build_json("host").write_text(json.dumps(record))
    monkeypatch.setattr(measuring, "chosen_in", lambda folder: run)
    return run


@pytest.fixture
def said():
    return Console(file=StringIO(), width=1000)


def test_a_run_is_measured_and_written_for_the_report(made, tmp_path, said):
    board = PtyBoard([str(made.firmware("host"))], tmp_path / "ttyACM0")
    try:
        measured = measure(
            made.folder, 4, on=str(board.port), target="host", runs=5, timeout=60, console=said
        )
    finally:
        board.unplug()
    assert measured.exact.host is True and measured.exact.tflm is not False
    assert measured.cycles_measured is None and measured.instructions is None
    assert measured.latency_measured_us.runs == 5
    assert len(measured.images) == 4 and 0 <= measured.accuracy_on_device <= 1
    written = made.measurement("host")
    assert Measurement.load(written) == measured and measured.counting == "host clock"
    assert json.loads(written.read_text())["format"] == 1
    assert str(tmp_path) not in written.read_text()
    assert "every output byte equal to the host build" in said.file.getvalue()


def test_bytes_that_differ_are_written_down_and_refused(made, tmp_path, monkeypatch):
    original = HostModel.invoke_all

    def wrong(self, inputs):
        outputs = original(self, inputs)
        outputs[0][1, -1] ^= 1
        return outputs

    monkeypatch.setattr(HostModel, "invoke_all", wrong)
    board = PtyBoard([str(made.firmware("host"))], tmp_path / "ttyACM0")
    try:
        with pytest.raises(DisagreementError, match="and the host build disagree in") as error:
            measure(made.folder, 3, on=str(board.port), target="host", runs=1, timeout=60)
    finally:
        board.unplug()
    written = Measurement.load(made.measurement("host"))
    assert written.exact.host is False
    assert written.exact.reason == "1 of 30 bytes are not the host build's, first at image 1"
    assert str(made.measurement("host")) in str(error.value) and "\n" not in str(error.value)


def test_of_images_of_ones_own_the_report_gets_counts_alone(made, tmp_path):
    firmware = read_firmware(made, HOST)
    images = np.random.default_rng(1).integers(-128, 128, (3, 32, 32, 3), dtype=np.int8)
    board = PtyBoard([str(made.firmware("host"))], tmp_path / "ttyACM0")
    try:
        measured = measure(firmware, images, np.array([1, 2, 3]), on=str(board.port), runs=1)
        pixels = (images.astype(np.int16) + 128).astype(np.uint8)
        as_pixels = measure(firmware, pixels, on=str(board.port), runs=1)
        with pytest.raises(DeployError, match=r"images are float32 \[3\]; at least one, int8"):
            measure(firmware, images.astype(np.float32), on=str(board.port))
        with pytest.raises(DeployError, match="an image has 12 bytes, the model in .* takes 3072"):
            measure(firmware, images[:, :2, :2], on=str(board.port))
    finally:
        board.unplug()
    assert [image.label for image in measured.images] == [1, 2, 3]
    expected = HostModel(made.host_library).invoke(images).reshape(3, -1)
    assert [image.output for image in measured.images] == expected.tolist()
    assert [image.output for image in as_pixels.images] == expected.tolist()
    written = Measurement.load(made.measurement("host"))
    assert written == measured.model_copy(update={"images": [], "accuracy_on_device": None})


def test_images_of_ones_own_leave_test_images_measured_before(made, tmp_path):
    board = PtyBoard([str(made.firmware("host"))], tmp_path / "ttyACM0")
    try:
        measure(made.folder, 3, on=str(board.port), target="host", runs=1, timeout=60)
        before = made.measurement("host").read_bytes()
        image = np.zeros((1, 32, 32, 3), np.int8)
        measure(read_firmware(made, HOST), image, on=str(board.port), runs=1)
    finally:
        board.unplug()
    assert made.measurement("host").read_bytes() == before


@needs_qemu
def test_a_single_file_is_built_and_measured_with_random_images(tmp_path, said):
    model = tmp_path / "small.tflite"
    model.write_bytes(PEER.read_bytes())
    measured = measure(model, on="qemu", console=said)
    assert len(measured.images) == 2 and measured.accuracy_on_device is None
    assert len(measured.layers) > 20 and measured.exact.tflm is not False
    assert measured.instructions == measured.instructions_range[0]
    last = said.file.getvalue().splitlines()[-1]
    assert "RAM" in last and "of 4,194,304 bytes" in last


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "is no run folder"),
        (["--on", "/dev/nosuch"], "is no run folder"),
        (["--runs", "0"], "--runs"),
    ],
)
def test_command_refuses(tmp_path, capsys, arguments, message):
    with pytest.raises(SystemExit) as done:
        main(["measure", str(tmp_path), *arguments])
    assert done.value.code == 2
    assert message in capsys.readouterr().err
