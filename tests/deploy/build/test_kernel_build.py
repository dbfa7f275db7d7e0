"""The kernels compile without a warning for cores with DSP instructions and without."""

import shutil
import subprocess

import pytest

from deploy.core.places import firmware_root

KERNELS = firmware_root() / "firmware" / "kernels"


@pytest.mark.skipif(shutil.which("arm-none-eabi-gcc") is None, reason="no arm-none-eabi-gcc")
@pytest.mark.parametrize("core", ["cortex-m0plus", "cortex-m3", "cortex-m4", "cortex-m7"])
@pytest.mark.parametrize("level", ["-Os", "-O3"])
def test_kernels_compile_without_warnings(core, level, tmp_path):
    subprocess.run(
        ["arm-none-eabi-gcc", "-mthumb", f"-mcpu={core}", level, "-std=c11", "-Wall", "-Wextra",
         "-Werror", "-pedantic", "-ffreestanding", f"-I{KERNELS.parent / 'include'}", "-c",
         *map(str, sorted(KERNELS.glob("*.c")))],
        check=True, cwd=tmp_path,
    )  # fmt: skip
    assert len(list(tmp_path.glob("*.o"))) == len(list(KERNELS.glob("*.c")))
