// SPDX-License-Identifier: Apache-2.0
// The markers of nb_port.h for emulators. QEMU's counter finds them by their addresses. Renode is
// told to watch reads of nb_marks: it counts executed instructions a block of code at a time, so
// the read is in the instruction that returns, which ends a block wherever Renode may cut.
#include "nb_assembly.inc"

// The return addresses of both.
    .section .bss.nb_marks, "aw", %nobits
    .balign 4
    .global nb_marks
    .type nb_marks, %object
nb_marks:
    .space 8
nb_end nb_marks

.macro nb_marker name, place
nb_function \name, 4
    ldr r0, =nb_marks
    str lr, [r0, #\place]
    ldr pc, [r0, #\place]
    .ltorg
nb_end \name
.endm

    nb_marker nb_mark_begin, 0
    nb_marker nb_mark_end, 4
