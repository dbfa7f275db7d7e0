# SPDX-License-Identifier: Apache-2.0
"""Targets as data, read the same way by Python and by CMake."""

import contextlib
import shutil
import subprocess
from pathlib import Path

import pytest

from deploy.core.errors import DeployError
from deploy.core.places import firmware_root
from deploy.targets import Target, load_target, target_names


def test_every_target_file_loads_and_has_a_port():
    assert {"host", "mps2-an386", "mps2-an500"} <= set(target_names())
    for name in target_names():
        target = load_target(name)
        assert target.name == name
        assert (firmware_root() / "firmware" / "ports" / target.port).is_dir()
        assert len(target.table_row()) == 7
        assert all(isinstance(cell, str) and cell for cell in target.table_row())


def test_emulated_board():
    target = load_target("mps2-an386")
    assert target.is_bare_metal
    assert (target.core, target.clock_hz) == ("cortex-m4", 25_000_000)
    assert target.flash is not None and target.flash.length == 4 * 1024 * 1024
    assert target.emulator is not None and target.emulator.qemu_machine == "mps2-an386"


def test_host_is_not_bare_metal():
    assert not load_target("host").is_bare_metal


def test_targets_that_no_emulator_ran_say_so():
    for name in target_names():
        target = load_target(name)
        ran_by = target.table_row()[5]
        if target.emulators:
            assert "unverified" not in ran_by
        else:
            assert ran_by == ("none: unverified" if target.is_bare_metal else "-")
    assert load_target("netduinoplus2").table_row()[5] == "QEMU netduinoplus2"
    assert load_target("nano-33-ble").table_row()[5] == "Renode nano-33-ble"
    assert load_target("nucleo-l4r5zi").table_row()[5] == "none: unverified"


def test_unknown_target_lists_the_known_ones():
    with pytest.raises(DeployError, match=r"unknown target nosuch; known: .*mps2-an386"):
        load_target("nosuch")


def _variant(tmp_path: Path, old: str, new: str) -> Path:
    text = load_target("mps2-an386").file.read_text()
    assert old in text
    path = tmp_path / "mps2-an386.toml"
    path.write_text(text.replace(old, new))
    return path


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("clock_hz = 25_000_000", "clock_hz = 0", "clock_hz"),
        ('port = "mps2"', 'port = "mps2"\ncolour = "red"', "colour"),
        ("stack_bytes = 2048\n", "", "stack_bytes"),
        ("[ram]", "[ram", "not TOML"),
        ('name = "mps2-an386"', 'name = "other"', "differs from the file's name"),
    ],
)
def test_wrong_target_file_names_file_and_key(tmp_path, old, new, message):
    path = _variant(tmp_path, old, new)
    with pytest.raises(DeployError) as error:
        load_target(str(path))
    assert "mps2-an386.toml" in str(error.value)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_missing_target_file(tmp_path):
    with pytest.raises(DeployError, match="cannot read target file"):
        load_target(str(tmp_path / "none.toml"))


def _flatten(target: Target) -> dict[str, str]:
    content = target.model_dump(exclude={"file"}, exclude_unset=True)
    flat: dict[str, object] = {}
    for key, value in content.items():
        if isinstance(value, dict):
            flat |= {f"{key}_{inner}": item for inner, item in value.items()}
        else:
            flat[key] = value
    return {
        key: ";".join(value) if isinstance(value, list) else str(value)
        for key, value in flat.items()
    }


@pytest.mark.parametrize("name", target_names())
def test_cmake_reads_what_python_reads(tmp_path, name):
    if shutil.which("cmake") is None:
        pytest.skip("cmake is not installed")
    target = load_target(name)
    keys = _flatten(target)
    script = tmp_path / "read.cmake"
    lines = [f'include("{firmware_root()}/firmware/cmake/nb_target.cmake")']
    lines.append(f'nb_read_target("{target.file}")')
    lines += [f'message("{key}=${{NB_TARGET_{key}}}")' for key in keys]
    script.write_text("\n".join(lines))
    done = subprocess.run(["cmake", "-P", script], capture_output=True, text=True, check=True)
    read = dict(line.split("=", 1) for line in done.stderr.splitlines())
    for key, value in keys.items():
        assert _plain(read[key]) == _plain(value), key


def _plain(text: str) -> object:
    for convert in (lambda t: int(t, 0), float):
        with contextlib.suppress(ValueError):
            return convert(text)
    return text
