# SPDX-License-Identifier: Apache-2.0
"""`netbooster flash`: exact commands, recorded by stand-ins on PATH; verification over serial."""

import shutil
import struct
import zlib
from pathlib import Path

import pytest

import deploy.devices.flash
from deploy.build.firmware import build_firmware
from deploy.build.firmware_image import FirmwareImage, read_image
from deploy.cli import main
from deploy.core.errors import DeployError
from deploy.devices.errors import GarbledAnswerError, WrongDeviceError
from deploy.devices.flash import flash, plan_flash, verify_flash
from deploy.targets import load_target
from netbooster.experiment.recipe import RECIPE_FOLDER

FAKE = Path(__file__).resolve().parents[2] / "firmware" / "fake_model"
TOOLS = ("pyocd", "openocd", "st-flash", "bossac", "dfu-util")

pytestmark = pytest.mark.skipif(
    any(shutil.which(t) is None for t in ("arm-none-eabi-gcc", "cmake")),
    reason="arm-none-eabi-gcc or cmake is not installed",
)


@pytest.fixture(scope="module")
def elves(tmp_path_factory):
    folder = tmp_path_factory.mktemp("elves")
    built = {}
    for name in ("nucleo-f446re", "nano-33-ble", "portenta-h7"):
        built[name] = folder / f"firmware-{name}.elf"
        build_firmware(FAKE, load_target(name), built[name])
    return built


@pytest.fixture
def path(tmp_path, monkeypatch):
    """A PATH with nothing but what `install` puts there."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def install(folder: Path, tool: str, status: int = 0, says: str = "") -> Path:
    """A stand-in that writes its arguments down, and keeps a copy of the file it is given."""
    log = folder / f"{tool}.log"
    program = folder / tool
    program.write_text(
        f'#!/bin/sh\nfor a in "$@"; do printf "%s\\n" "$a" >> {log}; '
        f'case "$a" in *.bin) /bin/cp "$a" {log}.bin;; esac; done\n'
        f'echo "{says}"\nexit {status}\n'
    )
    program.chmod(0o755)
    return log


def recorded(log: Path) -> list[str]:
    return [Path(a).name if a.endswith(".bin") else a for a in log.read_text().splitlines()]


@pytest.mark.parametrize(
    ("target", "tool", "expected"),
    [
        ("nucleo-f446re", "pyocd",
         ["flash", "--target", "stm32f446retx", "--base-address", "0x08000000",
          "firmware-nucleo-f446re.bin"]),
        ("nucleo-f446re", "st-flash",
         ["--reset", "write", "firmware-nucleo-f446re.bin", "0x08000000"]),
        ("nano-33-ble", "bossac",
         ["--port=ttyACM7", "-U", "-i", "-e", "-w", "firmware-nano-33-ble.bin", "-R"]),
        ("portenta-h7", "dfu-util",
         ["-d", "2341:035b", "-a", "0", "-s", "0x08040000:leave", "-D",
          "firmware-portenta-h7.bin"]),
    ],
)  # fmt: skip
def test_tools_get_the_exact_command_and_the_image(elves, path, target, tool, expected):
    log = install(path, tool)
    plan = flash(load_target(target), elves[target], tool=tool, port="/dev/ttyACM7")
    assert plan.tool == tool
    assert recorded(log) == expected
    assert Path(f"{log}.bin").read_bytes() == read_image(elves[target]).data


def test_openocd(elves, path):
    log = install(path, "openocd")
    flash(load_target("nucleo-f446re"), elves["nucleo-f446re"], tool="openocd")
    *options, program = log.read_text().splitlines()
    assert options == ["-f", "board/st_nucleo_f4.cfg", "-c"]
    assert program.startswith("program {/")
    assert program.endswith("/firmware-nucleo-f446re.bin} 0x08000000 verify reset exit")


def test_the_first_tool_of_the_target_that_is_there(elves, path):
    for tool in ("st-flash", "openocd"):
        install(path, tool)
    target = load_target("nucleo-f446re")
    assert plan_flash(target, elves["nucleo-f446re"], path).tool == "openocd"
    install(path, "pyocd")
    assert plan_flash(target, elves["nucleo-f446re"], path).tool == "pyocd"


def test_copy_to_a_drive(elves, path, tmp_path, monkeypatch):
    drive = tmp_path / "NODE_F446RE"
    drive.mkdir()
    monkeypatch.setattr(deploy.devices.flash, "find_volume", lambda label: tmp_path / label)
    elf = elves["nucleo-f446re"]
    plan = flash(load_target("nucleo-f446re"), elf)
    assert plan.tool == "copy"
    assert (drive / "firmware-nucleo-f446re.bin").read_bytes() == read_image(elf).data


def test_uf2_drive(elves, path, tmp_path):
    target = load_target("nucleo-f446re")
    tool = target.flash_tool.model_copy(update={"uf2_family": 0x57755A57})
    target = target.model_copy(update={"flash_tool": tool})
    image = read_image(elves["nucleo-f446re"])
    flash(target, elves["nucleo-f446re"], tool="copy", volume=tmp_path)
    data = (tmp_path / "firmware-nucleo-f446re.uf2").read_bytes()
    assert len(data) % 512 == 0
    payload = b""
    for number in range(len(data) // 512):
        block = data[512 * number : 512 * (number + 1)]
        head = struct.unpack_from("<8I", block)
        assert head[:3] == (0x0A324655, 0x9E5D5157, 0x2000)
        assert head[3:] == (
            image.address + 256 * number, 256, number, len(data) // 512, 0x57755A57,
        )  # fmt: skip
        assert struct.unpack_from("<I", block, 508) == (0x0AB16F30,)
        payload += block[32:288]
    assert payload[: len(image.data)] == image.data


def test_dry_run_prints_the_command_and_runs_nothing(elves, path, capsys):
    log = install(path, "pyocd")
    elf = elves["nucleo-f446re"]
    elf.with_suffix(".bin").unlink(missing_ok=True)  # another test's
    with pytest.raises(SystemExit) as done:
        main(["flash", str(elf), "--target", "nucleo-f446re", "--dry-run"])
    assert done.value.code == 0
    assert capsys.readouterr().out.strip() == (
        f"pyocd flash --target stm32f446retx --base-address 0x08000000 {elf.with_suffix('.bin')}"
    )
    assert not log.exists()
    assert not elf.with_suffix(".bin").exists()


def test_dry_run_of_a_named_tool_does_not_need_it(elves, path, capsys):
    elf = elves["nucleo-f446re"]
    arguments = ["flash", str(elf), "--target", "nucleo-f446re", "--tool", "st-flash"]
    with pytest.raises(SystemExit) as done:
        main([*arguments, "--dry-run"])
    assert done.value.code == 0
    file = elf.with_suffix(".bin")
    assert capsys.readouterr().out.strip() == f"st-flash --reset write {file} 0x08000000"
    with pytest.raises(SystemExit) as done:
        main(arguments)
    assert done.value.code == 2
    assert "st-flash is not installed; install it with" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"target": "mps2-an386"}, "mps2-an386 is no board"),
        ({"tool": "bossac"}, "cannot be flashed with bossac; use pyocd or openocd"),
        ({"tool": "pyocd"}, "pyocd is not installed; install it with"),
        ({}, "nothing is installed that flashes nucleo-f446re"),
        ({"tool": "copy"}, "a drive labelled NODE_F446RE is not mounted"),
        ({"target": "portenta-h7"}, "it was built for another board"),
    ],
)
def test_what_cannot_be_flashed(elves, path, arguments, message):
    target = load_target(arguments.pop("target", "nucleo-f446re"))
    with pytest.raises(DeployError, match=message) as error:
        flash(target, elves["nucleo-f446re"], **arguments)
    assert "\n" not in str(error.value)


def test_bossac_needs_a_port(elves, path):
    install(path, "bossac")
    with pytest.raises(DeployError, match=r"nano-33-ble: bossac needs .* press reset twice"):
        flash(load_target("nano-33-ble"), elves["nano-33-ble"])


def test_a_tool_that_fails_is_quoted(elves, path):
    install(path, "pyocd", status=3, says="no probe found")
    with pytest.raises(DeployError, match=r"exit status 3\): no probe found; the command was"):
        flash(load_target("nucleo-f446re"), elves["nucleo-f446re"])


def test_missing_firmware_names_the_command(tmp_path, capsys):
    shutil.copy(RECIPE_FOLDER / "digits.toml", tmp_path / "recipe.toml")
    with pytest.raises(SystemExit) as done:
        main(["flash", str(tmp_path), "--target", "nucleo-f446re"])
    assert done.value.code == 2
    assert "make it with: netbooster build" in capsys.readouterr().err


class _Board:
    """A serial port with a board behind it that answers `banner` and `firmware`."""

    name = "port"

    def __init__(self, target: str, image: FirmwareImage, firmware: str | None = None) -> None:
        crc = f"{zlib.crc32(image.data):08x}"
        told = firmware or f'{{"bytes":{len(image.data)},"crc32":"{crc}"}}'
        self._answers = {
            b"banner%": f'{{"netbooster":1,"target":"{target}"}}',
            b"firmware%": f"m-firmware-{told}",
        }
        self._pending = b""

    def write(self, data: bytes) -> None:
        if data.startswith(b"%db load "):
            number = data.decode().removeprefix("%db load ").removesuffix("%")
            self._pending += f"e-[unknown]\r\nm-ready\r\ne-[not {number}]\r\nm-ready\r\n".encode()
            return
        self._pending += f"{self._answers[data]}\r\nm-ready\r\n".encode()

    def read(self, timeout: float) -> bytes:
        data, self._pending = self._pending, b""
        return data

    def close(self) -> None:
        pass


def test_verification_compares_the_boards_own_checksum(elves, monkeypatch):
    elf = elves["nucleo-f446re"]
    target = load_target("nucleo-f446re")
    image = read_image(elf)
    boards = {
        "good": _Board(target.name, image),
        "other board": _Board("nucleo-f746zg", image),
        "old": _Board(target.name, FirmwareImage(image.address, image.data[:-1] + b"\x77")),
    }
    monkeypatch.setattr(deploy.devices.flash, "SerialPort", lambda port, baud: boards[port])
    assert verify_flash(elf, target, "good") == image.crc32
    with pytest.raises(WrongDeviceError, match="runs nucleo-f746zg, not nucleo-f446re"):
        verify_flash(elf, target, "other board")
    with pytest.raises(WrongDeviceError, match="the board's flash holds another program"):
        verify_flash(elf, target, "old")
    for said in ('{"bytes":', "[1,2]", '{"bytes":"many","crc32":"0"}', "{}"):
        boards["garbled"] = _Board(target.name, image, firmware=said)
        with pytest.raises(GarbledAnswerError, match="port: garbled answer to firmware: ") as error:
            verify_flash(elf, target, "garbled")
        assert str(error.value).endswith(said)
