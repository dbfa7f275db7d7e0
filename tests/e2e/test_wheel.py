# SPDX-License-Identifier: Apache-2.0
"""The wheel, installed outside the repository: a small pipeline from images to a report.

The fresh environment gets the wheel alone; its dependencies, which are gigabytes, are read from
the environment that runs the tests. Neither the repository nor its editable install is on the path.
"""

import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RECIPE = """
name = "small"
[data]
name = "digits"
resolution = 32
channels = 1
[model]
name = "mobilenetv2-tiny"
[train]
steps = 20
batch_size = 16
[quantization]
calibration_samples = 32
[emulate]
images = 2
"""

pytestmark = pytest.mark.skipif(
    any(shutil.which(t) is None for t in ("arm-none-eabi-gcc", "cmake", "qemu-system-arm")),
    reason="arm-none-eabi-gcc, cmake or qemu-system-arm is not installed",
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ``bin`` folder of a fresh environment that holds the wheel."""
    folder = tmp_path_factory.mktemp("fresh") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    packages = next(folder.glob("lib/python*/site-packages"))
    install = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python"), "install"]
    subprocess.run(
        [*install, "--no-deps", "--no-index", "--quiet", str(wheel)],
        check=True,
        capture_output=True,
    )
    # A path in a .pth file is read without the .pth files in it: the editable install stays out.
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "bin"


def run(installed: Path, folder: Path, *words: str) -> str:
    result = subprocess.run(
        [str(installed / words[0]), *words[1:]],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=600,
        env={"PATH": f"{installed}:/usr/local/bin:/usr/bin:/bin", "HOME": str(folder)},
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_the_packages_come_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    code = "import deploy, netbooster; print(deploy.__file__); print(netbooster.__file__)"
    for line in run(installed, tmp_path, "python", "-c", code).splitlines():
        assert Path(line).is_relative_to(installed.parent), line


def test_the_wheel_holds_what_type_checkers_and_builds_need(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {
        "netbooster/py.typed",
        "deploy/py.typed",
        "deploy/_firmware/CMakeLists.txt",
        "deploy/_firmware/LICENSE",
    } <= names
    assert not [n for n in names if n.startswith(("tests/", "tools/"))]


def test_a_small_pipeline_from_images_to_a_report(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "small.toml").write_text(RECIPE)
    said = run(installed, tmp_path, "netbooster", "run", "small.toml", "--target", "mps2-an386")
    assert "report.html" in said
    page = (tmp_path / "runs" / "small" / "report.html").read_text()
    assert "mps2-an386" in page
