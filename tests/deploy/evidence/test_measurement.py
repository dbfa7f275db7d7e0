# SPDX-License-Identifier: Apache-2.0
"""The one form of a measurement: written, read back, refused in one line; energy."""

import json

import pytest

from deploy.core.errors import DeployError
from deploy.evidence.energy import estimate_energy
from deploy.evidence.measurement import Measurement
from deploy.targets import load_target


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 2}, "format: Input should be 1; `netbooster measure` writes it again"),
        ({"clock_hz": 0}, "clock_hz: Input should be greater than 0"),
        ({"images": [{"index": 0}]}, r"images\.0\.label: Field required"),
        (None, "Invalid JSON"),
    ],
)
def test_other_files_are_refused_in_one_line(tmp_path, changes, message):
    path = tmp_path / "measurement-host.json"
    path.write_text("{" if changes is None else json.dumps({**EARLIER, **changes}))
    with pytest.raises(DeployError, match=message) as error:
        Measurement.load(path)
    assert str(error.value).startswith(str(path)) and "\n" not in str(error.value)


# A measurement without what only some have: accuracy, spread, reconnects.
EARLIER = {
    "format": 1, "model": "netbooster", "target": "mps2-an386", "engine": "nb",
    "toolchain": {"compiler": "gcc", "flags": "-Os", "emulator": "QEMU 7.2.22"},
    "counting": "qemu-tcg-plugin", "instructions": 10, "instructions_range": [10, 12],
    "cycles_estimated": 20, "clock_hz": 25_000_000, "latency_estimated_ms": 0.0008,
    "energy_estimated_uj": None, "energy_source": None, "layers": [],
    "ram": {"arena": 1, "static": 2, "stack": 3, "total": 5},
    "flash": {"code": 1, "tables": 1, "weights": 1, "total": 3},
    "memory": {"flash": 4194304, "ram": 4194304}, "tflite_bytes": 9,
    "images": [{"index": 0, "label": 1, "prediction": 1, "output": [-1, 5]}],
    "exact": {"host": True, "tflm": None, "reason": "no wheel"},
    "hashes": {"tflite": "0", "elf": "1", "generated": "2", "library": None},
}  # fmt: skip


def test_a_file_of_the_earlier_form_is_read(tmp_path):
    path = tmp_path / "measurement-mps2-an386.json"
    path.write_text(json.dumps(EARLIER))
    measured = Measurement.load(path)
    assert measured.instructions == 10 and measured.accuracy_on_device is None
    measured.save(path)
    assert Measurement.load(path) == measured


def test_energy_is_an_estimate_from_the_data_sheet():
    target = load_target("nucleo-l4r5zi")
    energy = estimate_energy(target, 0.1)
    # 120 uA/MHz * 120 MHz * 3.3 V * 0.1 s
    assert energy.microjoules == pytest.approx(120 * 120 * 3.3 * 0.1)
    assert "DS12023" in energy.source and "120 uA/MHz at 3.3 V" in energy.source
    assert estimate_energy(load_target("mps2-an386"), 0.1) is None
    assert estimate_energy(target, None) is None
