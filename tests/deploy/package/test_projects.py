# SPDX-License-Identifier: Apache-2.0
"""Libraries: what is in them, and that they compile for Cortex-M4."""

import json
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from deploy.cli import main
from deploy.codegen import compile_model
from deploy.core.errors import DeployError
from deploy.package import export_arduino, export_cmake, export_platformio, export_zephyr
from deploy.package.sources import collect
from netbooster.experiment.recipe import RECIPE_FOLDER

ROOT = Path(__file__).resolve().parents[3]
PEER = ROOT / "tests" / "data" / "peers" / "small_32_int8.tflite"
STUBS = Path(__file__).resolve().parents[1] / "stubs"
CORE = ["-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16"]
WARNINGS = ["-Wall", "-Wextra", "-Werror"]

needs_arm = pytest.mark.skipif(
    any(shutil.which(t) is None for t in ("arm-none-eabi-gcc", "arm-none-eabi-g++", "cmake")),
    reason="arm-none-eabi-gcc, arm-none-eabi-g++ or cmake is not installed",
)


@pytest.fixture(scope="module")
def generated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "generated"
    compile_model(PEER.read_bytes(), folder, name="small")
    return folder


@pytest.fixture(scope="module")
def library(generated):
    count = json.loads((generated / "plan.json").read_text())["output"]["shape"][-1]
    return collect(generated, "Small_Net", [f'the "{i}"' for i in range(count)])


def _run(*command: object, cwd: Path | None = None) -> None:
    done = subprocess.run([str(c) for c in command], cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr + done.stdout


def _compile_cpp(source: Path, include: Path, out: Path) -> None:
    _run(
        "arm-none-eabi-g++", "-c", *CORE, *WARNINGS, "-Os", "-std=gnu++17", "-fno-exceptions",
        f"-I{STUBS}", f"-I{include}", "-x", "c++", source, "-o", out,
    )  # fmt: skip


@needs_arm
def test_arduino_library_compiles_and_is_what_the_ide_installs(library, tmp_path):
    archive = tmp_path / "Small_Net.zip"
    export_arduino(library, archive)
    with zipfile.ZipFile(archive) as content:
        content.extractall(tmp_path)
    folder = tmp_path / "Small_Net"
    properties = dict(
        line.split("=", 1) for line in (folder / "library.properties").read_text().splitlines()
    )
    assert properties["name"] == "Small_Net"
    assert properties["includes"] == "Small_Net.h"
    assert {"version", "author", "maintainer", "sentence", "category", "url"} <= set(properties)
    assert not list((folder / "src").glob("*/"))  # Arduino's include path is src alone
    objects = tmp_path / "objects"
    objects.mkdir()
    _run(
        "arm-none-eabi-gcc", "-c", *CORE, *WARNINGS, "-Os", "-std=gnu11", f"-I{folder / 'src'}",
        *sorted((folder / "src").glob("*.[cS]")), cwd=objects,
    )  # fmt: skip
    for name in ("Classify", "Benchmark"):
        sketch = tmp_path / f"{name}.cpp"
        text = (folder / "examples" / name / f"{name}.ino").read_text()
        sketch.write_text("#include <Arduino.h>\n" + text)  # as the IDE does
        _compile_cpp(sketch, folder / "src", objects / f"{name}.o")
    # One program of library and sketch, with nothing of ours left undefined.
    _run(
        "arm-none-eabi-gcc", *CORE, "-nostdlib", "-r", "-o", tmp_path / "all.o",
        objects / "Benchmark.o", *(o for o in objects.glob("*.o") if o.stem not in
                                   ("Classify", "Benchmark")),
    )  # fmt: skip
    listing = subprocess.run(
        ["arm-none-eabi-nm", "-u", tmp_path / "all.o"], capture_output=True, text=True, check=True
    ).stdout
    assert "nb_" not in listing
    sections = subprocess.run(
        ["arm-none-eabi-objdump", "-h", tmp_path / "all.o"], capture_output=True, text=True
    ).stdout
    assert ".nb_arena" not in sections  # Arduino's linker scripts would put it into flash


def test_the_same_model_gives_the_same_zip(library, tmp_path):
    export_arduino(library, tmp_path / "a.zip")
    export_arduino(library, tmp_path / "b.zip")
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


@needs_arm
def test_platformio_library(library, tmp_path):
    export_platformio(library, tmp_path / "lib")
    manifest = json.loads((tmp_path / "lib" / "library.json").read_text())
    assert manifest["name"] == "Small_Net"
    assert (tmp_path / "lib" / "src" / manifest["headers"]).is_file()
    example = manifest["examples"][0]
    source = tmp_path / "lib" / example["base"] / example["files"][0]
    _compile_cpp(source, tmp_path / "lib" / "src", tmp_path / "example.o")
    assert _sources(tmp_path / "lib" / "src") == library.files


@needs_arm
def test_zephyr_module(library, tmp_path):
    folder = tmp_path / "module"
    export_zephyr(library, folder)
    assert "cmake: zephyr" in (folder / "zephyr" / "module.yml").read_text()
    listed = (folder / "zephyr" / "CMakeLists.txt").read_text()
    for source in library.sources:
        assert f"../src/{source}" in listed
    assert "config SMALL_NET\n" in (folder / "zephyr" / "Kconfig").read_text()
    assert "CONFIG_SMALL_NET=y" in (folder / "samples" / "classify" / "prj.conf").read_text()
    _run(
        "arm-none-eabi-gcc", "-c", *CORE, *WARNINGS, "-std=gnu11", f"-I{STUBS}",
        f"-I{folder / 'src'}", folder / "samples" / "classify" / "src" / "main.c",
        "-o", tmp_path / "main.o",
    )  # fmt: skip
    assert _sources(folder / "src") == library.files


@needs_arm
def test_cmake_folder_builds_for_cortex_m4(library, tmp_path):
    project = tmp_path / "project"
    export_cmake(library, project / "Small_Net")
    (project / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.20)\nproject(demo LANGUAGES C)\n"
        f"add_compile_options({' '.join(CORE)})\nadd_subdirectory(Small_Net)\n"
        "add_library(demo OBJECT Small_Net/example.c)\n"
        "target_link_libraries(demo PRIVATE Small_Net)\n"
        "add_executable(program main.c)\ntarget_link_libraries(program PRIVATE demo Small_Net)\n"
        f"target_link_options(program PRIVATE {' '.join(CORE)} -nostartfiles --specs=nosys.specs)\n"
    )
    (project / "main.c").write_text("int main(void) { return 0; }\n")
    toolchain = ROOT / "firmware" / "cmake" / "arm-none-eabi.cmake"
    _run("cmake", "-S", project, "-B", tmp_path / "b", f"-DCMAKE_TOOLCHAIN_FILE={toolchain}")
    _run("cmake", "--build", tmp_path / "b")
    assert list((tmp_path / "b").rglob("libSmall_Net.a"))


def _sources(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_the_command_and_what_it_refuses(generated, tmp_path, capsys):
    def run(*arguments: object) -> tuple[int, str]:
        with pytest.raises(SystemExit) as done:
            main([str(a) for a in arguments])
        return done.value.code, capsys.readouterr().err

    folder = tmp_path / "out"
    assert run("package", "--format", "cmake", generated, "-o", folder, "-n", "Net")[0] == 0
    assert (
        run("package", "--format", "cmake", generated, "-o", folder, "-n", "Net")[0] == 0
    )  # ours: replaced
    assert "class 0" in (folder / "src" / "nb_application.c").read_text()
    shutil.copy(RECIPE_FOLDER / "digits.toml", tmp_path / "recipe.toml")
    mine = tmp_path / "mine"
    mine.mkdir()
    for arguments, message in (
        ([generated, "-o", mine], "is no library of ours"),
        ([generated, "-n", "ArduinoNet"], "reserved for Arduino's own"),
        ([generated, "-n", "my net"], "use letters, digits and underscores"),
        ([generated, "--labels", "a,b"], "2 labels given"),
        ([tmp_path], "make it with: netbooster compile"),
    ):
        code, error = run("package", "--format", "cmake", *arguments)
        assert code == 2 and message in error
        assert error.count("\n") == 1
    assert list(mine.iterdir()) == []


def test_a_folder_without_a_model(tmp_path):
    with pytest.raises(DeployError, match="holds no compiled model"):
        collect(tmp_path, "Net")
