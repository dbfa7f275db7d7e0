"""`netbooster measure` through a pseudo-terminal, against the harness as a program."""

import json
import shutil
import socket
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from pty_bridge import PtyBoard

from deploy.build.firmware import build_firmware
from deploy.build.host_model import build_host
from deploy.cli import main
from deploy.cli.measure_command import measure_run
from deploy.codegen import compile_model
from deploy.core.errors import DeployError
from deploy.devices.measure import BoardDevice, EmulatedDevice, measure, spread
from deploy.devices.serial_port import SerialPort, is_virtual
from deploy.evidence.energy import estimate_energy
from deploy.evidence.report.schema import Measurement
from deploy.run.context import ModelPaths
from deploy.targets import load_target

ROOT = Path(__file__).resolve().parents[2]
FAKE = ROOT / "firmware" / "fake_model"
PEER = ROOT / "data" / "peers" / "small_32_int8.tflite"
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


def _measure(board, tmp_path, **changes):
    arguments = {
        "images": IMAGES,
        "expected": ANSWERS,
        "sha256": SHA,
        "progress_file": tmp_path / "partial.jsonl",
        "key": {"elf": "1"},
        "runs": 8,
        "reconnect_seconds": 20.0,
    }
    arguments |= changes
    connect = changes.pop("connect", None) or (
        lambda: BoardDevice(HOST, str(board.port), None, timeout=20)
    )
    arguments.pop("connect", None)
    images, expected = arguments.pop("images"), arguments.pop("expected")
    return measure(connect, images, expected, **arguments)


def test_every_image_is_answered_and_compared(board, tmp_path):
    measured = _measure(board, tmp_path)
    assert measured.outputs.tolist() == ANSWERS.tolist()
    assert (measured.different_bytes, measured.first_different) == (0, None)
    assert len(measured.laps) == 8  # six images, two more laps
    times = spread([lap.microseconds for lap in measured.laps])
    assert times["runs"] == 8 and times["min"] <= times["median"] <= times["max"]
    assert all(lap.cycles is None and lap.instructions is None for lap in measured.laps)
    assert measured.counting == "host clock"
    assert measured.memory["arena_bytes"] == 20
    assert not (tmp_path / "partial.jsonl").exists()


def test_a_pulled_cable_costs_no_answer(board, tmp_path):
    said = []
    board.unplug_after = 200
    measured = _measure(board, tmp_path, say=said.append)
    assert measured.reconnects == 1 and board.plugs == 2
    assert "waiting for the board to come back" in said[0]
    assert measured.outputs.tolist() == ANSWERS.tolist()


def test_a_board_that_stays_away_leaves_its_answers_for_the_next_run(board, tmp_path):
    device = BoardDevice(HOST, str(board.port), None, timeout=5)
    left = [3]

    def failing(original):
        def infer():
            if left[0] == 0:
                board.unplug()
            left[0] -= 1
            return original()

        return infer

    device.infer = failing(device.infer)
    connections = [device]

    def connect():
        return connections.pop() if connections else BoardDevice(HOST, "/dev/none", None, timeout=1)

    with pytest.raises(DeployError, match=r"plug it in again .*; 3 answers are kept in") as error:
        _measure(board, tmp_path, connect=connect, reconnect_seconds=0.1)
    assert "\n" not in str(error.value)
    path = tmp_path / "partial.jsonl"
    path.write_text(path.read_text() + '{"output": "00')  # the last line was cut
    board.plug()
    said = []
    measured = _measure(board, tmp_path, say=said.append)
    assert said == ["going on at image 3 of 6"]
    assert measured.outputs.tolist() == ANSWERS.tolist()


def test_progress_of_another_firmware_is_not_continued(board, tmp_path):
    path = tmp_path / "partial.jsonl"
    path.write_text('{"elf": "other"}\n{"output": "00000000", "lap": {}}\n')
    said = []
    measured = _measure(board, tmp_path, say=said.append)
    assert said == [] and measured.outputs.tolist() == ANSWERS.tolist()


def test_garbage_on_the_line_is_sent_again(board, tmp_path):
    device = BoardDevice(HOST, str(board.port), None, timeout=20)
    original = device.link.output
    garbled = iter([b"", b"\xff\xfe"])

    def output():
        noise = next(garbled, None)
        if noise is not None:
            raise DeployError(f"garbled answer {noise!r}")
        return original()

    device.link.output = output
    measured = _measure(board, tmp_path, connect=lambda: device)
    assert measured.outputs.tolist() == ANSWERS.tolist()


def test_noise_before_an_answer_does_not_matter(board, tmp_path):
    device = BoardDevice(HOST, str(board.port), None, timeout=20)
    board.noise = b"\x00\xff\x80garbage\r\n"
    measured = _measure(board, tmp_path, connect=lambda: device)
    assert measured.outputs.tolist() == ANSWERS.tolist()


def test_bytes_that_differ_are_counted(board, tmp_path):
    expected = ANSWERS.copy()
    expected[2, 1] ^= 1
    measured = _measure(board, tmp_path, expected=expected)
    assert (measured.different_bytes, measured.first_different) == (1, 2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sha256": "f" * 64}, r"holds model fake with SHA-256 0123456789ab.*netbooster flash"),
        ({"images": np.zeros((2, 3, 3, 1), np.int8)}, "an image has 9 bytes, .* takes 16"),
    ],
)
def test_another_model_or_other_images(board, tmp_path, changes, message):
    with pytest.raises(DeployError, match=message) as error:
        _measure(board, tmp_path, **changes)
    assert "\n" not in str(error.value)


def test_wrong_board_missing_port_busy_port_and_silence(board, tmp_path):
    with pytest.raises(DeployError, match=r"runs firmware for host, not for nano-33-ble"):
        BoardDevice(load_target("nano-33-ble"), str(board.port), None, timeout=20)
    with pytest.raises(DeployError, match=r"/dev/nosuch: no such port; plug the board in"):
        BoardDevice(HOST, "/dev/nosuch", None, timeout=1)
    first = SerialPort(str(board.port))
    with pytest.raises(DeployError, match="is busy: another program has it open"):
        SerialPort(str(board.port))
    first.close()
    silent = PtyBoard(["sleep", "60"], tmp_path / "silent")
    try:
        with pytest.raises(DeployError, match=r"no answer within 0\.3 s; is the firmware flashed"):
            BoardDevice(HOST, str(silent.port), None, timeout=0.3)
    finally:
        silent.unplug()


def test_virtual_ports_are_never_timed():
    assert is_virtual("socket://localhost:1234")
    assert is_virtual("/dev/pts/3")
    assert not is_virtual("/dev/ttyACM0")


def test_energy_is_an_estimate_from_the_data_sheet():
    target = load_target("nucleo-l4r5zi")
    energy = estimate_energy(target, 0.1)
    # 120 uA/MHz * 120 MHz * 3.3 V * 0.1 s
    assert energy.microjoules == pytest.approx(120 * 120 * 3.3 * 0.1)
    assert "DS12023" in energy.source and "120 uA/MHz at 3.3 V" in energy.source
    assert estimate_energy(load_target("mps2-an386"), 0.1) is None
    assert estimate_energy(target, None) is None


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
        measured = _measure(
            board,
            tmp_path,
            connect=lambda: BoardDevice(NETDUINO, str(board.port), netduino, timeout=60),
        )
        assert measured.outputs.tolist() == ANSWERS.tolist()
        assert measured.counting == "not timed"
        assert all(lap.cycles is None and lap.microseconds is None for lap in measured.laps)
        faulty = IMAGES.copy()
        faulty[2, 0, 0, 0] = 86  # asks the stand-in for an undefined instruction
        with pytest.raises(DeployError) as error:
            _measure(
                board,
                tmp_path,
                images=faulty,
                connect=lambda: BoardDevice(NETDUINO, str(board.port), netduino, timeout=60),
            )
        assert "HardFault on the device (pc=" in str(error.value)
        assert "in layer nb_layer_001" in str(error.value)
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
                device = BoardDevice(NETDUINO, url, netduino, timeout=60)
                break
            except DeployError:
                assert time.monotonic() < deadline
                time.sleep(0.2)
        measured = _measure(None, tmp_path, connect=lambda: device)
    finally:
        qemu.kill()
        qemu.wait()
    assert measured.outputs.tolist() == ANSWERS.tolist()
    assert all(lap.cycles is None for lap in measured.laps)


@needs_qemu
def test_an_emulator_counts_instructions_and_measures_no_time(netduino, board, tmp_path):
    measured = _measure(
        board, tmp_path, connect=lambda: EmulatedDevice(NETDUINO, netduino, timeout=60)
    )
    assert measured.outputs.tolist() == ANSWERS.tolist()
    lap = measured.laps[0]
    assert 3_000_000 < lap.instructions < 3_000_200
    assert lap.cycles is None and lap.microseconds is None
    assert measured.emulator.startswith("QEMU ")


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


def test_a_run_is_measured_and_written_for_the_report(tmp_path):
    paths = ModelPaths(tmp_path / "boosted")
    paths.folder.mkdir()
    paths.tflite.write_bytes(PEER.read_bytes())
    compile_model(PEER.read_bytes(), paths.generated, name="boosted")
    build_firmware(paths.generated, HOST, paths.firmware("host"))
    build_host(paths.generated, paths.host_library)
    sizes = dict.fromkeys(("arena", "ram_static", "code", "tables", "weights", "flash_total"), 0)
    paths.build_json("host").write_text(
        json.dumps({"compiler": "cc", "flags": "-O2", "sizes": sizes})
    )
    context = SimpleNamespace(target=HOST, dataset=_Data(), need=lambda path, stage: path)
    board = PtyBoard([str(paths.firmware("host"))], tmp_path / "ttyACM0")
    try:
        record = measure_run(
            context, paths, port=str(board.port), emulator=None, images=4, runs=5, timeout=60
        )
    finally:
        board.unplug()
    assert record["exact"]["host"] is True
    assert record["cycles_measured"] is None and record["instructions"] is None
    assert record["latency_measured_us"]["runs"] == 5
    assert len(record["images"]) == 4 and 0 <= record["accuracy_on_device"] <= 1
    written = json.loads(paths.measurement("host").read_text())
    assert Measurement(**written).counting == "host clock"
    assert str(tmp_path) not in paths.measurement("host").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give either --port PORT"),
        (["--port", "x", "--emulator", "qemu"], "give either --port PORT"),
        (["--emulator", "vice"], "unknown emulator 'vice'"),
        (["--port", "x"], "is no run folder"),
    ],
)
def test_command_refuses(tmp_path, capsys, arguments, message):
    with pytest.raises(SystemExit) as done:
        main(["measure", str(tmp_path), *arguments])
    assert done.value.code == 2
    assert message in capsys.readouterr().err
