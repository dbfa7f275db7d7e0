# SPDX-License-Identifier: Apache-2.0
"""Building firmware: sizes, repeatability, and what is said when it does not work."""

import shutil
import subprocess
from pathlib import Path

import pytest

import deploy.build.firmware
from deploy.build.elf import Elf
from deploy.build.firmware import build_firmware
from deploy.core.errors import DeployError
from deploy.core.places import firmware_root
from deploy.targets import load_target

FAKE = Path(__file__).resolve().parents[2] / "firmware" / "fake_model"
BOARD = load_target("mps2-an386")

needs_arm = pytest.mark.skipif(
    shutil.which("arm-none-eabi-gcc") is None, reason="arm-none-eabi-gcc is not installed"
)


def _copy(tmp_path: Path, weights: int = 16, arena: int = 20) -> Path:
    """The fake model with another size of weights and arena."""
    folder = tmp_path / "generated"
    shutil.copytree(FAKE, folder)
    for name in ("model.c", "model_weights.c"):
        path = folder / name
        text = path.read_text().replace("NB_FAKE_PAD_BYTES 16", f"NB_FAKE_PAD_BYTES {weights}")
        path.write_text(text.replace("nb_arena[INPUTS + OUTPUTS]", f"nb_arena[{arena}]"))
    plan = folder / "plan.json"
    text = plan.read_text().replace('"arena_bytes": 20', f'"arena_bytes": {arena}')
    text = text.replace('"weight_bytes": 16', f'"weight_bytes": {weights}')
    plan.write_text(text.replace('"weights_bytes": 16', f'"weights_bytes": {weights}'))
    return folder


@needs_arm
def test_sizes_add_up_to_the_linked_image(tmp_path):
    result = build_firmware(_copy(tmp_path, 4000, 640), BOARD, tmp_path / "fw.elf")
    sizes = result.sizes
    assert sizes.weights == 4000
    assert sizes.arena == 640
    assert sizes.flash_total == sizes.code + sizes.tables + sizes.weights + sizes.data
    assert sizes.ram_static == sizes.data + sizes.bss + sizes.arena
    assert 2000 < sizes.code < 12_000
    image = tmp_path / "fw.bin"
    subprocess.run(["arm-none-eabi-objcopy", "-O", "binary", result.elf, image], check=True)
    assert 0 <= image.stat().st_size - sizes.flash_total < 64  # alignment between sections
    assert "arm-none-eabi-gcc" in result.compiler
    assert "-Os" in result.flags


@needs_arm
def test_same_input_same_bytes_wherever_it_lies(tmp_path):
    first = tmp_path / "first.elf"
    second = tmp_path / "elsewhere" / "second.elf"
    build_firmware(FAKE, BOARD, first)
    moved = tmp_path / "moved" / "deep"
    shutil.copytree(FAKE, moved)
    build_firmware(moved, BOARD, second, build_dir=tmp_path / "kept")
    assert first.read_bytes() == second.read_bytes()
    for text in (b"/tmp/", str(firmware_root()).encode(), str(tmp_path).encode()):
        assert text not in first.read_bytes()


@needs_arm
def test_too_much_flash_is_refused_by_bytes_and_layer(tmp_path):
    out = tmp_path / "fw.elf"
    out.write_bytes(b"old")
    with pytest.raises(DeployError) as error:
        build_firmware(_copy(tmp_path, weights=5_000_000), BOARD, out)
    message = str(error.value)
    excess = int(message.split(" bytes over")[0].split(": ")[1].replace(",", ""))
    assert 5_000_000 - 4 * 1024 * 1024 < excess < 5_000_000 - 4 * 1024 * 1024 + 20_000
    assert "mps2-an386's flash of 4,194,304" in message
    assert "layer last, 5,000,000 bytes" in message
    assert "\n" not in message
    assert out.read_bytes() == b"old"


@needs_arm
def test_too_much_ram_is_refused_by_bytes_and_layer(tmp_path):
    with pytest.raises(DeployError) as error:
        build_firmware(_copy(tmp_path, arena=6_000_000), BOARD, tmp_path / "fw.elf")
    message = str(error.value)
    excess = int(message.split(" bytes over")[0].split(": ")[1].replace(",", ""))
    assert excess == pytest.approx(6_000_000 + BOARD.stack_bytes - 4 * 1024 * 1024, abs=300)
    assert "mps2-an386's RAM" in message
    assert "the arena takes 6,000,000, at layer sum" in message


@needs_arm
def test_stack_lies_below_everything_in_ram(tmp_path):
    elf = Elf(build_firmware(FAKE, BOARD, tmp_path / "fw.elf").elf)
    assert elf.address("nb_stack_bottom") == BOARD.ram.origin
    assert elf.address("nb_stack_top") - elf.address("nb_stack_bottom") == BOARD.stack_bytes
    assert elf.function_at(elf.address("nb_layer_001") + 2) == "nb_layer_001"


@needs_arm
def test_broken_generated_code_is_one_line(tmp_path):
    folder = _copy(tmp_path)
    (folder / "model.c").write_text("int broken(\n")
    with pytest.raises(DeployError) as error:
        build_firmware(folder, BOARD, tmp_path / "fw.elf")
    assert "does not compile for mps2-an386" in str(error.value)
    assert "\n" not in str(error.value)


def test_no_generated_code(tmp_path):
    with pytest.raises(DeployError, match="holds no generated C"):
        build_firmware(tmp_path, load_target("host"), tmp_path / "fw")


@pytest.mark.parametrize("tool", ["cmake", "arm-none-eabi-gcc"])
@pytest.mark.parametrize(("system", "installer"), [("Linux", "apt-get"), ("Darwin", "brew")])
def test_missing_tool_says_how_to_install_it(tmp_path, monkeypatch, tool, system, installer):
    which = shutil.which
    monkeypatch.setattr(
        deploy.build.firmware.shutil,
        "which",
        lambda name: None if name == tool else which(name) or name,
    )
    monkeypatch.setattr(deploy.build.firmware.platform, "system", lambda: system)
    with pytest.raises(DeployError) as error:
        build_firmware(FAKE, BOARD, tmp_path / "fw.elf")
    assert f"{tool} is not installed" in str(error.value)
    assert installer in str(error.value)


def test_elf_reader_refuses_other_files(tmp_path):
    path = tmp_path / "x.elf"
    path.write_bytes(b"no elf")
    with pytest.raises(DeployError, match="is no 32-bit ELF"):
        Elf(path)
    path.write_bytes(b"\x7fELF\x01\x01" + bytes(range(100)))
    with pytest.raises(DeployError, match="damaged"):
        Elf(path)
    with pytest.raises(DeployError, match="cannot read"):
        Elf(tmp_path / "none.elf")


@needs_arm
@pytest.mark.parametrize("preset", ["mps2-an386", "mps2-an500", "host"])
def test_presets_build_without_python(tmp_path, preset):
    command = ["cmake", "--preset", preset, "-B", tmp_path, f"-DNB_GENERATED_DIR={FAKE}"]
    subprocess.run(command, cwd=firmware_root(), check=True, capture_output=True)
    subprocess.run(["cmake", "--build", tmp_path], check=True, capture_output=True)
    assert (tmp_path / "firmware.elf").is_file()
