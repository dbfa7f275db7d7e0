# SPDX-License-Identifier: Apache-2.0
"""The decoder behind estimated cycles, on instructions that the assembler encoded."""

import shutil
import subprocess

import pytest

from deploy.devices.plugin import SOURCES

pytestmark = pytest.mark.skipif(
    any(shutil.which(t) is None for t in ("cc", "arm-none-eabi-gcc")),
    reason="cc or arm-none-eabi-gcc is not installed",
)

# Instruction, cycles alone, cycles behind `ldr r0, [r1]`; Cortex-M4 TRM (DDI 0439D), 3.3.
CASES = [
    ("adds r0, r1, r2", 1, 1),
    ("movw r0, #1234", 1, 1),
    ("lsls r0, r1, #3", 1, 1),
    ("cmp r0, #4", 1, 1),
    ("mul r0, r1, r2", 1, 1),
    ("mla r0, r1, r2, r3", 1, 1),
    ("smull r0, r1, r2, r3", 1, 1),
    ("smlad r0, r1, r2, r3", 1, 1),
    ("smmulr r0, r1, r2", 1, 1),
    ("sxtb16 r0, r1, ror #8", 1, 1),
    ("ssat r0, #8, r1", 1, 1),
    ("ssub16 r0, r1, r2", 1, 1),
    ("pkhbt r0, r1, r2, lsl #16", 1, 1),
    ("ubfx r0, r1, #3, #5", 1, 1),
    ("sdiv r0, r1, r2", 7, 7),
    ("udiv r8, r9, r10", 7, 7),
    ("ldr r2, [r3]", 2, 1),
    ("ldr r2, [r0]", 2, 2),
    ("ldr.w r8, [r9, #300]", 2, 1),
    ("ldr r2, [r3, r0]", 2, 2),
    ("ldr.w r2, [r3, r0, lsl #2]", 2, 2),
    ("ldrb r2, [r3], #1", 2, 1),
    ("ldrsb.w r2, [r3, #1]", 2, 1),
    ("ldrsh r2, [r3, r4]", 2, 1),
    ("ldr r2, [sp, #8]", 2, 1),
    ("ldr r2, [pc, #8]", 2, 1),
    ("str r2, [r3, #4]", 1, 1),
    ("strb.w r2, [r3], #1", 1, 1),
    ("str r2, [sp, #4]", 1, 1),
    ("str r2, [r3, r4]", 2, 1),
    ("strb.w r2, [r3, r4]", 2, 1),
    ("strb r2, [r3, r0]", 2, 2),
    ("ldrd r2, r3, [r4]", 3, 3),
    ("strd r2, r3, [r4, #8]", 3, 3),
    ("ldm r4!, {r0-r3}", 5, 5),
    ("ldm.w r4, {r0-r3, r8}", 6, 6),
    ("stm r4!, {r0, r1}", 3, 3),
    ("push {r4-r7, lr}", 6, 6),
    ("pop {r4-r7, pc}", 6, 6),
    ("push.w {r4-r11, lr}", 10, 10),
    ("ldrex r0, [r1]", 2, 2),
    ("tbb [pc, r0]", 2, 2),
    ("b .", 1, 1),
    ("beq .", 1, 1),
    ("beq.w .", 1, 1),
    ("b.w .", 1, 1),
    ("bl .", 1, 1),
    ("bx lr", 1, 1),
    ("blx r3", 1, 1),
    ("cbz r3, .+4", 1, 1),
    ("cbnz r3, .+64", 1, 1),
    ("dsb", 2, 2),
    ("mrs r0, primask", 2, 2),
    ("cpsid i", 2, 2),
    ("nop", 1, 1),
    ("it eq\n moveq r0, r1", 1, 0),
    ("vadd.f32 s0, s1, s2", 1, 1),
    ("vmul.f32 s0, s1, s2", 1, 1),
    ("vmla.f32 s0, s1, s2", 3, 3),
    ("vfma.f32 s0, s1, s2", 3, 3),
    ("vdiv.f32 s0, s1, s2", 14, 14),
    ("vsqrt.f32 s0, s1", 14, 14),
    ("vcvt.s32.f32 s0, s1", 1, 1),
    ("vldr s0, [r0]", 2, 2),
    ("vstr s0, [r0]", 2, 2),
    ("vldr d0, [r0]", 3, 3),
    ("vldmia r0!, {s0-s3}", 5, 5),
    ("vpush {d8-d9}", 5, 5),
    ("vmov r0, s0", 1, 1),
    ("vmov r0, r1, d0", 2, 2),
    ("vmrs APSR_nzcv, fpscr", 1, 1),
]

DRIVER = r"""
#include <stdio.h>
#include "nb_cycles.h"
int main(void) {
    const uint8_t load[2] = {0x08, 0x68}; /* ldr r0, [r1] */
    struct nb_instruction before = nb_decode(load, 2);
    unsigned size, b[4];
    while (scanf("%u %x %x %x %x", &size, b, b + 1, b + 2, b + 3) == 5) {
        uint8_t bytes[4] = {(uint8_t)b[0], (uint8_t)b[1], (uint8_t)b[2], (uint8_t)b[3]};
        struct nb_instruction i = nb_decode(bytes, size);
        printf("%u %u %d\n", (unsigned)nb_cycles_behind(&i, NULL),
               (unsigned)nb_cycles_behind(&i, &before), i.kind == NB_KIND_CALL);
    }
    return 0;
}
"""


@pytest.fixture(scope="module")
def decoded(tmp_path_factory):
    """Per case: cycles alone, cycles behind the load, whether it is a call."""
    folder = tmp_path_factory.mktemp("cycles")
    source = folder / "cases.s"
    body = "\n".join(f" .balign 16, 0\n {text}" for text, _, _ in CASES)
    source.write_text(f".syntax unified\n.thumb\n{body}\n .balign 16, 0\n")
    subprocess.run(
        ["arm-none-eabi-gcc", "-mcpu=cortex-m4", "-mthumb", "-mfpu=fpv4-sp-d16",
         "-mfloat-abi=hard", "-c", source, "-o", folder / "cases.o"],
        check=True,
    )  # fmt: skip
    command = ["arm-none-eabi-objcopy", "-O", "binary", "-j", ".text"]
    subprocess.run([*command, folder / "cases.o", folder / "cases.bin"], check=True)
    code = (folder / "cases.bin").read_bytes()
    lines = []
    for index in range(len(CASES)):
        raw = code[16 * index : 16 * index + 4]
        wide = raw[1] >> 3 in (0b11101, 0b11110, 0b11111)
        lines.append(f"{4 if wide else 2} " + " ".join(f"{byte:x}" for byte in raw))
    (folder / "driver.c").write_text(DRIVER)
    command = ["cc", "-std=c11", "-Wall", "-Wextra", "-Werror", f"-I{SOURCES}"]
    subprocess.run([*command, folder / "driver.c", "-o", folder / "driver"], check=True)
    done = subprocess.run(
        [folder / "driver"], input="\n".join(lines), capture_output=True, text=True, check=True
    )
    return [tuple(map(int, line.split())) for line in done.stdout.splitlines()]


@pytest.mark.parametrize(("index", "case"), list(enumerate(CASES)), ids=[c[0] for c in CASES])
def test_cycles(decoded, index, case):
    text, alone, behind_load = case
    assert decoded[index][:2] == (alone, behind_load)
    assert decoded[index][2] == text.startswith(("bl ", "blx "))
