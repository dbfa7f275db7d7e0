# SPDX-License-Identifier: Apache-2.0
"""The kernels compile without a warning for cores with DSP instructions and without."""

import shutil
import subprocess

import pytest

from deploy.core.places import kernel_includes, kernel_sources

SOURCES = kernel_sources(".c", ".S")


@pytest.mark.skipif(shutil.which("arm-none-eabi-gcc") is None, reason="no arm-none-eabi-gcc")
@pytest.mark.parametrize("core", ["cortex-m0plus", "cortex-m3", "cortex-m4", "cortex-m7"])
@pytest.mark.parametrize("level", ["-Os", "-O3"])
def test_kernels_compile_without_warnings(core, level, tmp_path):
    subprocess.run(
        ["arm-none-eabi-gcc", "-mthumb", f"-mcpu={core}", level, "-std=c11", "-Wall", "-Wextra",
         "-Werror", "-pedantic", "-ffreestanding", *kernel_includes(), "-c",
         *map(str, SOURCES)],
        check=True, cwd=tmp_path,
    )  # fmt: skip
    assert len(list(tmp_path.glob("*.o"))) == len(SOURCES)


# A freestanding compiler brings no C library.
STRING_H = """
#include <stddef.h>
void *memcpy(void *, const void *, size_t);
void *memset(void *, int, size_t);
void *memmove(void *, const void *, size_t);
"""


@pytest.mark.skipif(shutil.which("clang") is None, reason="no clang")
@pytest.mark.parametrize("core", ["cortex-m0plus", "cortex-m3", "cortex-m4", "cortex-m7"])
def test_clang_takes_c_and_assembly(core, tmp_path):
    (tmp_path / "string.h").write_text(STRING_H)
    for source in SOURCES:
        standard = ["-std=c11"] if source.suffix == ".c" else []
        subprocess.run(
            ["clang", "--target=arm-none-eabi", "-mthumb", f"-mcpu={core}", "-Os", *standard,
             "-ffreestanding", "-Wall", "-Wextra", "-Werror", f"-I{tmp_path}", *kernel_includes(),
             "-c", str(source), "-o", str(tmp_path / "out.o")],
            check=True,
        )  # fmt: skip
