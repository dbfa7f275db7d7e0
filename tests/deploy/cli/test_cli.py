# SPDX-License-Identifier: Apache-2.0
"""The command line: help everywhere, and bad input as one line with exit code 2."""

import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deploy.cli import COMMANDS, RENAMED, main

PEER = Path(__file__).parents[2] / "data" / "peers" / "small_32_int8.tflite"

RECIPE = """
name = "t"
[data]
name = "{data}"
resolution = {resolution}
channels = 1
{extra}
[model]
name = "{model}"
[train]
steps = 4
batch_size = 8
"""


def run(capfd: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of one command."""
    with pytest.raises(SystemExit) as stop:
        main(list(arguments))
    out, err = capfd.readouterr()
    return int(stop.value.code or 0), out, err


def refused(capfd: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line with which a command refuses its input."""
    code, _, err = run(capfd, *arguments)
    assert code == 2, err
    lines = [line for line in err.splitlines() if line.strip()]
    assert len(lines) == 1, err
    assert lines[0].startswith("error: ")
    assert "Traceback" not in err
    return lines[0]


def write_recipe(folder: Path, **changes: object) -> Path:
    values = {"data": "digits", "resolution": 32, "model": "mobilenetv2-tiny", "extra": ""}
    path = folder / "recipe.toml"
    path.write_text(RECIPE.format(**(values | changes)))
    return path


def write_images(folder: Path, classes: tuple[str, ...] = ("cat", "dog")) -> None:
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        for name in classes:
            (folder / split / name).mkdir(parents=True)
            for index in range(3):
                pixels = rng.integers(0, 255, (40, 48, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / split / name / f"{index}.png")


@pytest.mark.parametrize("command", [(), *((name,) for name in COMMANDS)])
def test_help_teaches(capfd: pytest.CaptureFixture[str], command: tuple[str, ...]) -> None:
    code, out, _ = run(capfd, *command, "--help")
    assert code == 0
    assert "Usage:" in out
    assert len(out.splitlines()) > 6


def test_lists_models_and_targets(capfd: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capfd, "list", "models")
    assert code == 0
    assert "23,499,152" in out and "750,280" in out and "81,785,520" in out
    code, out, _ = run(capfd, "list", "targets")
    assert code == 0
    assert "mps2-an386" in out
    code, out, _ = run(capfd, "list", "recipes")
    assert code == 0
    assert "digits" in out and "mobilenetv2-tiny" in out
    code, out, _ = run(capfd, "list", "weights")
    assert code == 0
    assert "no pretrained weights" in out
    assert "models" in refused(capfd, "list", "boards")


@pytest.mark.parametrize("word", RENAMED)
def test_a_word_of_earlier_versions_answers_with_todays(
    capfd: pytest.CaptureFixture[str], word: str
) -> None:
    line = refused(capfd, word, "RUN", "--no-such-option")
    assert f"netbooster {word} is called netbooster {RENAMED[word]}" in line
    assert RENAMED[word].split()[0] in COMMANDS


def test_doctor_names_what_is_missing(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    code, out, _ = run(capfd, "doctor")
    assert code == 1
    assert "qemu-system-arm" in out and "missing" in out
    assert "install" in out


def test_unknown_command_and_option(capfd: pytest.CaptureFixture[str]) -> None:
    assert "No such command" in refused(capfd, "fly")
    assert "No such option" in refused(capfd, "run", "digits", "--no-such-option")
    assert "Missing argument" in refused(capfd, "run", "--target", "mps2-an386")


def test_missing_recipe(capfd: pytest.CaptureFixture[str]) -> None:
    line = refused(capfd, "run", "no-such-recipe")
    assert "no-such-recipe" in line and "digits" in line


def test_unknown_target(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    line = refused(capfd, "run", "digits", "--target", "toaster", "--output", str(tmp_path / "r"))
    assert "toaster" in line and "mps2-an386" in line
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"data": "cifar-million"}, ("cifar-million", "digits", "glyphs", "folder")),
        ({"model": "resnet-900"}, ("resnet-900", "mobilenetv2-tiny")),
        ({"resolution": 8}, ("8", "32")),
        ({"extra": "resolutoin = 3"}, ("resolutoin", "resolution")),
        ({"extra": "]["}, ("recipe.toml",)),
    ],
)
def test_bad_recipe(
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
    changes: dict[str, object],
    words: tuple[str, ...],
) -> None:
    recipe = write_recipe(tmp_path, **changes)
    line = refused(capfd, "run", str(recipe), "--output", str(tmp_path / "run"))
    for word in words:
        assert word in line


def test_missing_key(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path)
    recipe.write_text(re.sub(r"\[model\]\nname = .*\n", "[model]\n", recipe.read_text()))
    line = refused(capfd, "run", str(recipe), "--output", str(tmp_path / "run"))
    assert "model.name" in line and "recipe.toml" in line


def test_empty_class_folder(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    write_images(tmp_path / "images")
    (tmp_path / "images" / "train" / "bird").mkdir()
    (tmp_path / "images" / "val" / "bird").mkdir()
    recipe = write_recipe(
        tmp_path, data="folder", extra=f'root = "{(tmp_path / "images").as_posix()}"'
    )
    line = refused(capfd, "run", str(recipe), "--output", str(tmp_path / "run"))
    assert "bird" in line


def test_unreadable_image(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    write_images(tmp_path / "images")
    for split in ("train", "val"):
        (tmp_path / "images" / split / "cat" / "0.png").write_bytes(b"\x89PNG no more")
    recipe = write_recipe(
        tmp_path, data="folder", extra=f'root = "{(tmp_path / "images").as_posix()}"'
    )
    line = refused(capfd, "run", str(recipe), "--output", str(tmp_path / "run"))
    assert "0.png" in line


@pytest.mark.parametrize("program", ["arm-none-eabi-gcc", "qemu-system-arm", "cmake"])
def test_missing_program_is_told_before_training(
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    program: str,
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("cc", "cmake", "arm-none-eabi-gcc", "qemu-system-arm"):
        path = shutil.which(name)
        assert path, f"this test needs {name}"
        if name != program:
            os.symlink(path, programs / name)
    monkeypatch.setenv("PATH", str(programs))
    line = refused(capfd, "run", "digits", "--output", str(tmp_path / "run"))
    assert program in line and "install" in line
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "command",
    ["quantize", "compile", "build", "measure", "verify", "report"],
)
def test_stage_without_a_run(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, command: str
) -> None:
    line = refused(capfd, command, str(tmp_path))
    assert str(tmp_path) in line and "netbooster train" in line


def test_stage_before_its_input(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path)
    assert recipe.name == "recipe.toml"
    line = refused(capfd, "quantize", str(tmp_path))
    assert "contracted.pt" in line and "netbooster train" in line


def test_compile_and_build_a_foreign_file(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    generated = tmp_path / "generated"
    code, out, err = run(capfd, "compile", str(PEER), "--output", str(generated))
    assert code == 0, err
    plan = json.loads((generated / "plan.json").read_text())
    assert f"{plan['arena_bytes'] / 1000:.1f} KB" in out
    code, out, err = run(capfd, "build", str(generated), "--target", "mps2-an386")
    assert code == 0, err
    assert (tmp_path / "firmware-mps2-an386.elf").is_file()


def test_compile_refuses_garbage_and_keeps_earlier_artifacts(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    generated = tmp_path / "generated"
    assert run(capfd, "compile", str(PEER), "--output", str(generated))[0] == 0
    before = {path: path.read_bytes() for path in generated.iterdir()}
    broken = tmp_path / "broken.tflite"
    broken.write_bytes(PEER.read_bytes()[:20_000])
    assert "broken" in refused(capfd, "compile", str(broken), "--output", str(generated))
    assert "nowhere" in refused(capfd, "compile", str(tmp_path / "nowhere.tflite"))
    assert {path: path.read_bytes() for path in generated.iterdir()} == before


def test_model_too_large_for_the_target(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    from deploy.targets import load_target

    small = tmp_path / "small.toml"
    text = load_target("mps2-an386").file.read_text()
    text = text.replace('name = "mps2-an386"', 'name = "small"')
    small.write_text(re.sub(r"(?s)(\[ram\].*?length = )\S+", r"\g<1>8000", text))
    generated = tmp_path / "generated"
    assert run(capfd, "compile", str(PEER), "--output", str(generated))[0] == 0
    line = refused(capfd, "build", str(generated), "--target", str(small))
    assert re.search(r"\d[\d,]* bytes", line)
    assert "RAM" in line and "layer" in line
    assert not (tmp_path / "firmware-small.elf").exists()


def test_names_are_printed_as_they_are(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text("x = 3")
    with pytest.raises(SystemExit) as ended:
        main(["quantize", "mine.py:x"])
    assert ended.value.code == 2
    assert "mine.py:x: --images is missing" in capsys.readouterr().err


def test_generated_c_with_a_damaged_plan_is_one_line(tmp_path, capsys):
    for content in ("{", "[]", "{}"):
        (tmp_path / "plan.json").write_text(content)
        with pytest.raises(SystemExit) as ended:
            main(["build", str(tmp_path)])
        assert ended.value.code == 2
        assert "plan.json is damaged; run `netbooster compile` again" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["list", "run", "inspect"])
def test_without_arguments_there_is_help_and_no_empty_error(
    capfd: pytest.CaptureFixture[str], command: str
) -> None:
    code, out, err = run(capfd, command)
    assert code == 2 and "error:" not in err and "Usage" in out + err
