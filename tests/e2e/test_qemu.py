# SPDX-License-Identifier: Apache-2.0
"""Firmware on QEMU: exact counts, the protocol, faults, and what happens when things break."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import deploy.devices.qemu
from deploy.build.firmware import build_firmware
from deploy.core.errors import DeployError
from deploy.devices import DeviceFaultError, QemuDevice, ask, run_images
from deploy.devices.errors import (
    CounterError,
    EmulatorEndedError,
    EmulatorTooLongError,
    NoAnswerError,
)
from deploy.devices.plugin import (
    SOURCES,
    PluginUnusableError,
    api_version,
    build_plugin,
    find_refusal,
)
from deploy.devices.qemu import ICOUNT, PLUGIN
from deploy.targets import load_target, target_names

ROOT = Path(__file__).resolve().parents[1]
FAKE = ROOT / "firmware" / "fake_model"
IMAGES = np.arange(32, dtype=np.int8).reshape(2, 4, 4, 1)
ANSWERS = [[6 ^ 1, 22 ^ 2, 38 ^ 3, 54 ^ 4], [70 ^ 1, 86 ^ 2, 102 ^ 3, 118 ^ 4]]
BOARD = load_target("mps2-an386")

pytestmark = pytest.mark.skipif(
    any(shutil.which(t) is None for t in ("qemu-system-arm", "arm-none-eabi-gcc", "cmake")),
    reason="qemu-system-arm, arm-none-eabi-gcc or cmake is not installed",
)


@pytest.fixture(scope="module")
def fake_elf(tmp_path_factory):
    out = tmp_path_factory.mktemp("fake") / "fw.elf"
    build_firmware(FAKE, BOARD, out)
    return out


def _loop_of_known_length(result, wait_states=0):
    """The fake model's middle layer turns 1,000,000 times through three instructions."""
    layers = {layer.symbol: layer for layer in result.layers}
    assert list(layers) == ["nb_layer_000", "nb_layer_001", "nb_layer_002"]
    assert 3_000_000 < layers["nb_layer_001"].instructions < 3_000_030
    # A NOP, a SUBS and a taken branch (1 + P, P = 2, and the flash): five cycles a turn or more.
    cycles = layers["nb_layer_001"].cycles_estimated
    assert 0 < cycles - (5 + wait_states) * 1_000_000 < 100
    outside = result.instructions - sum(layer.instructions for layer in layers.values())
    assert 0 < outside < 40  # calls, returns and the markers
    assert all(layer.calls == 1 for layer in layers.values())


def test_counts_are_exact_and_repeatable(fake_elf):
    first = run_images(BOARD, fake_elf, IMAGES)
    assert first.outputs.tolist() == ANSWERS
    assert first.counting == PLUGIN
    _loop_of_known_length(first)
    assert [lap.instructions for lap in first.laps] == [first.instructions] * 2
    second = run_images(BOARD, fake_elf, IMAGES)
    assert (second.instructions, second.cycles_estimated, second.layers) == (
        first.instructions, first.cycles_estimated, first.layers,
    )  # fmt: skip
    assert 0 < first.memory.stack_used <= BOARD.stack_bytes
    assert first.memory.arena_bytes == 20
    assert first.emulator.startswith("QEMU ")


@pytest.mark.parametrize(
    "name",
    [n for n in target_names() if load_target(n).emulator and load_target(n).emulator.qemu_machine],
)
def test_every_emulated_target_agrees(tmp_path, name):
    target = load_target(name)
    elf = tmp_path / "fw.elf"
    build_firmware(FAKE, target, elf)
    result = run_images(target, elf, IMAGES)
    assert result.outputs.tolist() == ANSWERS
    assert result.banner.target == name
    _loop_of_known_length(result, target.cycles.flash_wait_states)


def test_icount_takes_over_and_says_so(fake_elf, monkeypatch, capfd):
    def unusable(api: int) -> Path:
        raise PluginUnusableError("no C compiler for this machine")

    monkeypatch.setattr(deploy.devices.qemu, "build_plugin", unusable)
    result = run_images(BOARD, fake_elf, IMAGES)
    assert result.counting == ICOUNT
    assert result.outputs.tolist() == ANSWERS
    assert result.layers == () and result.cycles_estimated is None
    assert result.instructions == pytest.approx(3_000_085, abs=400)  # ticks of 40 instructions
    warning = capfd.readouterr().err
    assert "-icount and SysTick" in warning and "no C compiler" in warning


def test_plugin_that_qemu_refuses_is_built_again_as_it_asks(fake_elf, monkeypatch):
    asked = []
    real = deploy.devices.qemu.build_plugin

    def record(api: int) -> Path:
        asked.append(api)
        return real(api)

    right = api_version(deploy.devices.qemu.qemu_version(shutil.which("qemu-system-arm"))[1])
    wrong = 99
    monkeypatch.setattr(deploy.devices.qemu, "build_plugin", record)
    monkeypatch.setattr(deploy.devices.qemu, "api_version", lambda release: wrong)
    # An interface from the future does not link; QEMU says what it supports before it looks.
    with QemuDevice(BOARD, fake_elf) as device:
        assert device.counting == PLUGIN
    assert asked[0] == wrong
    assert asked[1] >= right


def test_plugin_interface_by_release():
    assert [api_version(r) for r in ((7, 2), (8, 2), (9, 0), (9, 2), (10, 0), (11, 1))] == [
        1, 1, 2, 3, 3, 7,
    ]  # fmt: skip
    with pytest.raises(PluginUnusableError, match="has no plugins"):
        api_version((4, 1))
    log = "plugin requires API version 1, but this QEMU supports only a minimum version of 2"
    assert find_refusal(log).api == 2
    assert find_refusal("Could not load plugin: no such file").api is None
    assert find_refusal("something else") is None


@pytest.mark.parametrize("api", [1, 2, 3, 7])
def test_plugin_compiles_for_every_interface(api, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    library = build_plugin(api)
    symbols = subprocess.run(["nm", "-D", library], capture_output=True, text=True).stdout
    assert "qemu_plugin_install" in symbols and "qemu_plugin_version" in symbols
    assert build_plugin(api) == library


def test_warnings_of_the_plugin_are_errors_here():
    command = ["cc", "-std=c11", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", f"-I{SOURCES}"]
    for api in (1, 2, 3, 7):
        subprocess.run([*command, f"-DNB_QEMU_API={api}", SOURCES / "nb_count.c"], check=True)


def test_fault_names_function_and_layer(fake_elf):
    with QemuDevice(BOARD, fake_elf) as device:
        device.load_input(bytes([86] + [0] * 15))
        with pytest.raises(DeviceFaultError) as error:
            device.infer()
    assert error.value.layer == "nb_layer_001" and error.value.registers["cfsr"] == "00010000"
    message = str(error.value)
    assert "HardFault" in message and "in layer nb_layer_001" in message
    assert "pc=" in message and "cfsr=00010000" in message  # undefined instruction
    assert "\n" not in message


def test_stack_overflow_is_told_from_other_faults(fake_elf):
    with QemuDevice(BOARD, fake_elf) as device:
        device.load_input(bytes([87] + [0] * 15))
        with pytest.raises(DeployError) as error:
            device.infer(timeout=20)
    assert "stack overflow" in str(error.value)
    assert "in layer nb_layer_001" in str(error.value)


def test_endless_inference_ends_at_the_time_limit(fake_elf):
    with QemuDevice(BOARD, fake_elf) as device:
        pid = device.pid
        device.load_input(bytes([88] + [0] * 15))
        with pytest.raises(NoAnswerError, match=r"no answer within 2 s; last it said: m-lap-us"):
            device.infer(timeout=2)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_endless_inference_ends_at_the_limit_of_instructions(fake_elf):
    with QemuDevice(BOARD, fake_elf, max_instructions=20_000_000) as device:
        device.load_input(IMAGES[0].tobytes())
        device.infer()  # three million: within it
        device.load_input(bytes([88] + [0] * 15))
        with pytest.raises(EmulatorTooLongError, match="no end after 20,000,000 .*nb_count"):
            device.infer()


def test_killed_emulator_is_reported_and_cleaned_up(fake_elf):
    with QemuDevice(BOARD, fake_elf) as device:
        os.kill(device.pid, signal.SIGKILL)
        with pytest.raises(EmulatorEndedError, match="has ended: exit status -9") as error:
            device.link.command("name")
        assert error.value.status == -9
        folder = Path(device._folder.name)
        assert folder.is_dir()
    assert not folder.exists()
    assert device.pid is None


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends children of a killed parent")
def test_emulator_dies_with_the_process_that_started_it(fake_elf):
    """Also where that is killed and can clean nothing up."""
    code = (
        "import sys, time; from pathlib import Path; from deploy.devices import QemuDevice; "
        "from deploy.targets import load_target; "
        "device = QemuDevice(load_target('mps2-an386'), Path(sys.argv[1])); "
        "print(device.pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code, fake_elf], stdout=subprocess.PIPE)
    pid = int(parent.stdout.readline())
    os.kill(pid, 0)
    parent.kill()
    parent.communicate()
    deadline = time.monotonic() + 20
    while _runs(pid):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"  # whoever adopted it has not asked for its status yet


def test_counts_that_cannot_be_had_are_refused(fake_elf, monkeypatch):
    def unusable(api: int) -> Path:
        raise PluginUnusableError("no C compiler for this machine")

    for counter, message in (
        ("icount", "start-up is counted by the plugin only"),
        ("plugin", "nb_mark_begin to nb_mark_end did not run once"),
    ):
        device = QemuDevice(BOARD, fake_elf, counter=counter)
        with device, pytest.raises(CounterError, match=message):
            device.boot_count()
    monkeypatch.setattr(deploy.devices.qemu, "build_plugin", unusable)
    with pytest.raises(PluginUnusableError, match="no C compiler"):
        QemuDevice(BOARD, fake_elf, counter="plugin")


def test_parts_are_kept_of_the_first_inference(fake_elf):
    inputs = [image.tobytes() for image in IMAGES]
    answers = ask(lambda: QemuDevice(BOARD, fake_elf, functions=True), inputs)
    first, second = answers.laps
    assert first.instructions == second.instructions
    assert sum(function.instructions for function in first.functions) == first.instructions
    assert second.layers == () and second.functions == () and second.outside is None


def test_emulator_that_cannot_start_shows_its_log(fake_elf):
    odd = BOARD.model_copy(
        update={"emulator": BOARD.emulator.model_copy(update={"qemu_machine": "nosuch"})}
    )
    with pytest.raises(DeployError, match="exit status 1; .*machine type") as error:
        run_images(odd, fake_elf, IMAGES)
    assert "\n" not in str(error.value)


def test_missing_qemu_says_how_to_install_it(fake_elf, monkeypatch):
    monkeypatch.setenv("NETBOOSTER_QEMU", "no-such-qemu")
    with pytest.raises(DeployError, match=r"no-such-qemu is not installed; .*apt-get install"):
        run_images(BOARD, fake_elf, IMAGES)


def test_wrong_images_and_wrong_board(fake_elf):
    with pytest.raises(DeployError, match="an image has 9 bytes, the model in .* takes 16"):
        run_images(BOARD, fake_elf, np.zeros((1, 3, 3, 1), np.int8))
    with pytest.raises(DeployError, match="at least one, int8"):
        run_images(BOARD, fake_elf, np.zeros((1, 4, 4, 1), np.float32))
    with pytest.raises(DeployError, match="built for mps2-an386, not for mps2-an500"):
        run_images(load_target("mps2-an500"), fake_elf, IMAGES)
    with pytest.raises(DeployError, match="host has no emulator"):
        run_images(load_target("host"), fake_elf, IMAGES)


def test_fuzzed_lines_never_hang_the_emulated_device(fake_elf):
    rng = random.Random(6)
    words = [b"name", b"db load 16", b"db 00", b"db print", b"results", b"memory", b"x" * 70]
    with QemuDevice(BOARD, fake_elf) as device:
        link = device.link
        for _ in range(40):
            noise = b"%".join(rng.choices(words, k=3)) + rng.randbytes(rng.randint(0, 30))
            device._process.write(noise)
            link.synchronize()
        link.self_test()
        link.load_input(IMAGES[0].tobytes())
        device.infer()
        assert list(link.output()) == ANSWERS[0]


PEER = ROOT / "data" / "peers" / "small_32_int8.tflite"
TINY = PEER.with_name("mbv2_tiny_144_int8.tflite")


@pytest.mark.parametrize("name", ["mps2-an386", "mps2-an500", "netduinoplus2"])
def test_compiled_model_equals_the_interpreter(tmp_path, name):
    pytest.importorskip("tflite_micro", reason="no tflite-micro wheel for this machine")
    from deploy.codegen import compile_model
    from deploy.tflite.tflm import TflmModel

    data = PEER.read_bytes()
    compile_model(data, tmp_path / "generated", name="small")
    elf = tmp_path / "fw.elf"
    board = load_target(name)
    build_firmware(tmp_path / "generated", board, elf)
    images = np.random.default_rng(1).integers(-128, 128, size=(4, 32, 32, 3), dtype=np.int8)
    result = run_images(board, elf, images)
    golden = TflmModel(data)
    for image, output in zip(images, result.outputs, strict=True):
        assert np.array_equal(golden.invoke(image[None]).reshape(-1), output.reshape(-1))
    layers = sum(layer.instructions for layer in result.layers)
    assert layers == pytest.approx(result.instructions, rel=0.02)
    assert result.memory.stack_used <= BOARD.stack_bytes


def test_the_tiny_network_of_1000_classes_runs_on_the_smallest_board(tmp_path):
    pytest.importorskip("tflite_micro", reason="no tflite-micro wheel for this machine")
    from deploy.codegen import compile_model
    from deploy.tflite.tflm import TflmModel

    board = load_target("netduinoplus2")  # QEMU's machine has more RAM than the chip
    assert (board.flash.length, board.ram_bytes) == (1 << 20, 128 << 10)
    compile_model(TINY.read_bytes(), tmp_path / "generated", name="tiny")
    sizes = build_firmware(tmp_path / "generated", board, tmp_path / "fw.elf").sizes
    images = np.random.default_rng(2).integers(-128, 128, size=(1, 144, 144, 3), dtype=np.int8)
    result = run_images(board, tmp_path / "fw.elf", images)
    golden = TflmModel(TINY.read_bytes()).invoke(images[:1]).reshape(-1)
    assert golden.size == 1000 and np.array_equal(result.outputs.reshape(-1), golden)
    assert sizes.ram_static + result.memory.stack_used <= 128 << 10
    assert sizes.flash_total <= 1 << 20 and result.memory.stack_used <= 2048
