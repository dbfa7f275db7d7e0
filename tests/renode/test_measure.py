"""`netbooster measure --emulator renode`: a labelled set, an emulator that dies, and going on."""

import json
import os
import signal
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from deploy.build.firmware import build_firmware
from deploy.build.host_model import HostModel, build_host
from deploy.cli.measure_command import measure_run
from deploy.codegen import compile_model
from deploy.core.errors import DeployError
from deploy.devices.measure import EmulatedDevice
from deploy.evidence.report.schema import Measurement
from deploy.run.context import ModelPaths
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
    paths = ModelPaths(tmp_path / "boosted")
    paths.folder.mkdir()
    paths.tflite.write_bytes(PEER.read_bytes())
    compile_model(PEER.read_bytes(), paths.generated, name="boosted")
    build_host(paths.generated, paths.host_library)
    build = build_firmware(paths.generated, BOARD, paths.firmware(BOARD.name))
    paths.build_json(BOARD.name).write_text(
        json.dumps({"compiler": build.compiler, "flags": build.flags, "sizes": vars(build.sizes)})
    )
    context = SimpleNamespace(target=BOARD, dataset=_Data(), need=lambda path, stage: path)
    infer, left = EmulatedDevice.infer, [2]

    def dying(self: EmulatedDevice):
        if left[0] == 0:
            os.killpg(self._session.pid, signal.SIGKILL)
        left[0] -= 1
        return infer(self)

    arguments = {"port": None, "emulator": "renode", "images": IMAGES, "runs": 1}
    with monkeypatch.context() as patch:
        patch.setattr(EmulatedDevice, "infer", dying)
        with pytest.raises(DeployError, match=r"Renode .*has ended.*; 2 answers are kept in"):
            measure_run(context, paths, **arguments)
    record = measure_run(context, paths, **arguments)
    assert "going on at image 2 of 5" in capsys.readouterr().out
    assert record["exact"]["host"] is True
    assert record["counting"] == "renode-executed-instructions"
    assert record["cycles_measured"] is None and record["latency_measured_us"] is None
    assert record["cycles_estimated"] is None and record["energy_estimated_uj"] is None
    answers = [image["prediction"] for image in record["images"]]
    assert record["accuracy_on_device"] == np.mean(np.array(answers) == np.arange(IMAGES))
    assert 0 < record["ram"]["stack"] <= 2048
    # Every inference of this network takes the same number, and QEMU's count is the same.
    machine = load_target("mps2-an386")
    build_firmware(paths.generated, machine, tmp_path / "machine.elf")
    size = int(np.prod(HostModel(paths.host_library).input_shape))
    expected = count_in_qemu(machine, tmp_path / "machine.elf", bytes(size))
    assert record["instructions_range"] == [expected, expected]
    written = json.loads(paths.measurement(BOARD.name).read_text())
    assert Measurement(**written).toolchain.emulator.startswith("Renode 1.")
