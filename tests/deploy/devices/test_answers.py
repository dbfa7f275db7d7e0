# SPDX-License-Identifier: Apache-2.0
"""The loop that sends inputs, through a pseudo-terminal, against the harness as a program."""

import shutil
import socket
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from pty_bridge import PtyBoard

from deploy.build.firmware import build_firmware
from deploy.core.errors import DeployError
from deploy.devices import Progress, QemuDevice, Sending, SerialDevice, ask, open_device
from deploy.devices.errors import (
    DeviceFaultError,
    GarbledAnswerError,
    LinkLostError,
    NoAnswerError,
    PortError,
    WrongDeviceError,
)
from deploy.devices.serial_port import SerialPort, is_virtual
from deploy.evidence.measurement import Spread
from deploy.targets import load_target

ROOT = Path(__file__).resolve().parents[2]
FAKE = ROOT / "firmware" / "fake_model"
HOST = load_target("host")
NETDUINO = load_target("netduinoplus2")
SHA = "0123456789abcdef" * 4
IMAGES = np.random.default_rng(3).integers(-30, 30, (6, 4, 4, 1), dtype=np.int8)
ANSWERS = IMAGES.reshape(6, 4, 4).sum(axis=2).astype(np.int8) ^ np.array([1, 2, 3, 4], np.int8)

pytestmark = pytest.mark.skipif(
    shutil.which("cmake") is None or shutil.which("cc") is None,
    reason="cmake or a C compiler is not installed",
)


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    out = tmp_path_factory.mktemp("harness") / "harness"
    build_firmware(FAKE, HOST, out)
    return out


@pytest.fixture
def board(program, tmp_path):
    board = PtyBoard([str(program)], tmp_path / "ttyACM0")
    yield board
    board.unplug()


def _ask(board, tmp_path, *, images=IMAGES, connect=None, key="1", **changes):
    connect = connect or (lambda: SerialDevice(HOST, str(board.port), None, timeout=20))
    sending = Sending(
        **{
            "sha256": SHA,
            "runs": 8,
            "progress": Progress(tmp_path / "partial.jsonl", {"elf": key}),
            "reconnect_seconds": 20.0,
            **changes,
        }
    )
    return ask(connect, [image.tobytes() for image in images], sending)


def test_every_image_is_answered_and_compared(board, tmp_path):
    measured = _ask(board, tmp_path)
    assert measured.outputs.tolist() == ANSWERS.tolist()
    assert len(measured.laps) == 8  # six images, two more laps
    times = Spread.of([lap.microseconds for lap in measured.laps])
    assert times.runs == 8 and times.min <= times.median <= times.max
    assert all(lap.cycles is None and lap.instructions is None for lap in measured.laps)
    assert measured.counting == "host clock"
    assert measured.memory.arena_bytes == 20
    assert not (tmp_path / "partial.jsonl").exists()


def test_a_pulled_cable_costs_no_answer(board, tmp_path):
    said = []
    board.unplug_after = 200
    measured = _ask(board, tmp_path, say=said.append)
    assert measured.reconnects == 1 and board.plugs == 2
    assert "waiting for the board to come back" in said[0]
    assert measured.outputs.tolist() == ANSWERS.tolist()


def test_a_board_that_stays_away_leaves_its_answers_for_the_next_run(board, tmp_path):
    device = SerialDevice(HOST, str(board.port), None, timeout=5)
    left = [3]

    def failing(original):
        def infer(*, timeout=None):
            if left[0] == 0:
                board.unplug()
            left[0] -= 1
            return original()

        return infer

    device.infer = failing(device.infer)
    connections = [device]

    def connect():
        return (
            connections.pop() if connections else SerialDevice(HOST, "/dev/none", None, timeout=1)
        )

    with pytest.raises(LinkLostError, match=r"plug it in again .*; 3 answers are kept in") as error:
        _ask(board, tmp_path, connect=connect, reconnect_seconds=0.1)
    assert "\n" not in str(error.value)
    path = tmp_path / "partial.jsonl"
    path.write_text(path.read_text() + '{"output": "00')  # the last line was cut
    board.plug()
    said = []
    measured = _ask(board, tmp_path, say=said.append)
    assert said == ["going on at image 3 of 6"]
    assert measured.outputs.tolist() == ANSWERS.tolist()


def test_progress_of_another_firmware_is_not_continued(board, tmp_path):
    path = tmp_path / "partial.jsonl"
    said = []
    path.write_text('{"elf": "other"}\n{"output": "00000000", "lap": {}}\n')
    measured = _ask(board, tmp_path, say=said.append)
    assert said == [] and measured.outputs.tolist() == ANSWERS.tolist()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe\x00",
        b'{"elf": "1"}\n[]\n',
        b'{"elf": "1"}\n{"output": "zz", "lap": {}}\n',
        b'{"elf": "1"}\n{"output": "00", "lap": {"seconds": 1}}\n',
        b'{"elf": "1"}\n{"output": 7, "lap": null}\n',
    ],
)
def test_damaged_progress_is_dropped(board, tmp_path, content):
    (tmp_path / "partial.jsonl").write_bytes(content)
    measured = _ask(board, tmp_path)
    assert measured.outputs.tolist() == ANSWERS.tolist()


def test_garbage_on_the_line_is_sent_again(board, tmp_path):
    device = SerialDevice(HOST, str(board.port), None, timeout=20)
    original = device.link.output
    garbled = iter([b"", b"\xff\xfe"])

    def output():
        noise = next(garbled, None)
        if noise is not None:
            raise GarbledAnswerError(f"garbled answer {noise!r}")
        return original()

    device.link.output = output
    measured = _ask(board, tmp_path, connect=lambda: device)
    assert measured.outputs.tolist() == ANSWERS.tolist()


def test_a_line_that_stays_noisy_ends_with_what_it_said(board, tmp_path):
    device = SerialDevice(HOST, str(board.port), None, timeout=20)
    device.output = lambda: b"\x01\x02\x03"
    with pytest.raises(GarbledAnswerError, match=r"3 bytes of 4 \(try 3 of 3\)"):
        _ask(board, tmp_path, connect=lambda: device)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sha256": "f" * 64}, r"holds model fake with SHA-256 0123456789ab.*netbooster flash"),
        ({"images": np.zeros((2, 3, 3, 1), np.int8)}, "an image has 9 bytes, .* takes 16"),
    ],
)
def test_another_model_or_other_images(board, tmp_path, changes, message):
    with pytest.raises(DeployError, match=message) as error:
        _ask(board, tmp_path, **changes)
    assert "\n" not in str(error.value)


def test_wrong_board_missing_port_busy_port_and_silence(board, tmp_path):
    with pytest.raises(WrongDeviceError, match=r"runs firmware for host, not for nano-33-ble"):
        SerialDevice(load_target("nano-33-ble"), str(board.port), None, timeout=20)
    with pytest.raises(PortError, match=r"/dev/nosuch: no such port; plug the board in"):
        SerialDevice(HOST, "/dev/nosuch", None, timeout=1)
    first = SerialPort(str(board.port))
    with pytest.raises(PortError, match="is busy: another program has it open"):
        SerialPort(str(board.port))
    first.close()
    silent = PtyBoard(["sleep", "60"], tmp_path / "silent")
    try:
        with pytest.raises(NoAnswerError, match=r"no answer within 0\.3 s; is the firmware"):
            SerialDevice(HOST, str(silent.port), None, timeout=0.3)
    finally:
        silent.unplug()


def test_virtual_ports_are_never_timed():
    assert is_virtual("socket://localhost:1234")
    assert is_virtual("/dev/pts/3")
    assert not is_virtual("/dev/ttyACM0")


needs_qemu = pytest.mark.skipif(
    any(shutil.which(t) is None for t in ("qemu-system-arm", "arm-none-eabi-gcc")),
    reason="qemu-system-arm or arm-none-eabi-gcc is not installed",
)


@pytest.fixture(scope="module")
def netduino(tmp_path_factory):
    elf = tmp_path_factory.mktemp("netduino") / "fw.elf"
    build_firmware(FAKE, NETDUINO, elf)
    return elf


@needs_qemu
def test_an_emulated_board_on_a_port_answers_and_is_never_timed(netduino, tmp_path):
    command = ["qemu-system-arm", "-machine", "netduinoplus2", "-kernel", str(netduino)]
    command += ["-nodefaults", "-display", "none", "-monitor", "none"]
    command += ["-serial", "null"] * NETDUINO.emulator.qemu_serial + ["-serial", "stdio"]
    board = PtyBoard(command, tmp_path / "ttyACM0")
    try:
        measured = _ask(
            board,
            tmp_path,
            connect=lambda: SerialDevice(NETDUINO, str(board.port), netduino, timeout=60),
        )
        assert measured.outputs.tolist() == ANSWERS.tolist()
        assert measured.counting == "not timed"
        assert all(lap.cycles is None and lap.microseconds is None for lap in measured.laps)
        faulty = IMAGES.copy()
        faulty[2, 0, 0, 0] = 86  # asks the stand-in for an undefined instruction
        with pytest.raises(DeviceFaultError) as error:
            _ask(
                board,
                tmp_path,
                images=faulty,
                connect=lambda: SerialDevice(NETDUINO, str(board.port), netduino, timeout=60),
            )
        assert "HardFault on the device (pc=" in str(error.value)
        assert "in layer nb_layer_001" in str(error.value)
        assert error.value.layer == "nb_layer_001"
        assert "2 answers are kept" in str(error.value)
    finally:
        board.unplug()


@needs_qemu
def test_a_socket_works_like_a_port(netduino, tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number = probe.getsockname()[1]
    command = ["qemu-system-arm", "-machine", "netduinoplus2", "-kernel", str(netduino)]
    command += ["-nodefaults", "-display", "none", "-monitor", "none"]
    command += ["-serial", "null"] * NETDUINO.emulator.qemu_serial
    command += ["-serial", f"tcp:127.0.0.1:{number},server=on,wait=off"]
    url = f"socket://127.0.0.1:{number}"
    qemu = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                device = SerialDevice(NETDUINO, url, netduino, timeout=60)
                break
            except DeployError:
                assert time.monotonic() < deadline
                time.sleep(0.2)
        measured = _ask(None, tmp_path, connect=lambda: device)
    finally:
        qemu.kill()
        qemu.wait()
    assert measured.outputs.tolist() == ANSWERS.tolist()
    assert all(lap.cycles is None for lap in measured.laps)


@needs_qemu
def test_an_emulator_counts_instructions_and_measures_no_time(netduino, board, tmp_path):
    measured = _ask(board, tmp_path, connect=lambda: QemuDevice(NETDUINO, netduino, timeout=60))
    assert measured.outputs.tolist() == ANSWERS.tolist()
    lap = measured.laps[0]
    assert 3_000_000 < lap.instructions < 3_000_200
    assert lap.cycles is None and lap.microseconds is None
    assert measured.emulator.startswith("QEMU ")


def test_a_word_that_is_neither_emulator_nor_port(tmp_path):
    with pytest.raises(PortError, match=r"vice: no such port; .*, or name an emulator"):
        open_device(HOST, tmp_path / "none.elf", on="vice")
    with pytest.raises(DeployError, match="target host has no emulator; name the serial port"):
        open_device(HOST, tmp_path / "none.elf")
