# SPDX-License-Identifier: Apache-2.0
"""`netbooster measure --on renode`: a labelled set, an emulator that dies, and going on."""

import json
import os
import signal
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console

from deploy.build.firmware import build_firmware
from deploy.build.host_model import HostModel, build_host
from deploy.codegen import compile_model
from deploy.devices import RenodeDevice
from deploy.devices.errors import EmulatorEndedError
from deploy.evidence.measurement import Measurement
from deploy.run import measuring
from deploy.run.folder import Run
from deploy.targets import load_target

PEER = Path(__file__).resolve().parents[1] / "data" / "peers" / "small_32_int8.tflite"
BOARD = load_target("stm32f4-discovery")
IMAGES = 5


class _Data:
    def fingerprint(self) -> str:
        return "five"

    def split(self, name: str, *, limit: int | None = None):
        import torch

        images = np.random.default_rng(5).integers(0, 256, (IMAGES, 3, 32, 32), dtype=np.uint8)
        yield torch.from_numpy(images)[:limit], torch.arange(IMAGES)[:limit]


def test_answers_are_kept_when_renode_dies_and_the_same_command_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, count_in_qemu
) -> None:
    run = Run(tmp_path / "netbooster", SimpleNamespace())
    run.__dict__["dataset"] = _Data()
    run.folder.mkdir()
    run.tflite.write_bytes(PEER.read_bytes())
    run.model_json.write_text('{"accuracy": {}}')
    compile_model(PEER.read_bytes(), run.generated, name="netbooster")
    build_host(run.generated, run.host_library)
    build = build_firmware(run.generated, BOARD, run.firmware(BOARD.name))
    run.build_json(BOARD.name).write_text(
        json.dumps({"compiler": build.compiler, "flags": build.flags, "sizes": vars(build.sizes)})
    )
    monkeypatch.setattr(measuring, "runs_in", lambda folder: [run])
    monkeypatch.setattr(measuring, "chosen_in", lambda folder: run)
    infer, left = RenodeDevice.infer, [2]

    def dying(self: RenodeDevice, *, timeout: float | None = None):
        if left[0] == 0:
            os.killpg(self.pid, signal.SIGKILL)
        left[0] -= 1
        return infer(self, timeout=timeout)

    def measured():
        return measuring.measure(
            run.folder, IMAGES, on="renode", target=BOARD.name, force=True, console=Console()
        )

    with monkeypatch.context() as patch:
        patch.setattr(RenodeDevice, "infer", dying)
        with pytest.raises(EmulatorEndedError, match=r"Renode .*has ended.*; 2 answers are kept"):
            measured()
    record = measured()
    assert "going on at image 2 of 5" in capsys.readouterr().out
    assert record.exact.host is True
    assert record.counting == "renode-executed-instructions"
    assert record.cycles_measured is None and record.latency_measured_us is None
    assert record.cycles_estimated is None and record.energy_estimated_uj is None
    answers = [image.prediction for image in record.images]
    assert record.accuracy_on_device == np.mean(np.array(answers) == np.arange(IMAGES))
    assert 0 < record.ram.stack <= 2048
    # Every inference of this network takes the same number, and QEMU's count is the same.
    machine = load_target("mps2-an386")
    build_firmware(run.generated, machine, tmp_path / "machine.elf")
    size = int(np.prod(HostModel(run.host_library).input_shape))
    expected = count_in_qemu(machine, tmp_path / "machine.elf", bytes(size))
    assert record.instructions_range == (expected, expected)
    written = Measurement.load(run.measurement(BOARD.name))
    assert written.toolchain.emulator.startswith("Renode 1.")
