// SPDX-License-Identifier: Apache-2.0
// The handler of all faults. The report goes on below the fault's own frame where the stack has
// NB_REPORT_BYTES left. Where it does not, the frame is lost or was never written, and the report
// takes the bottom of the stack: at the top lie the return addresses that tell which layer it was.
#include "nb_assembly.inc"
#include "nb_fault.h"

nb_function nb_hard_fault, 4
    mov r1, sp
    ldr r3, =nb_stack_top
    ldr r2, =nb_stack_bottom
    add r2, r2, #NB_REPORT_BYTES
    cmp r1, r2
    blo 1f
    cmp r1, r3
    bls 2f
1:
    mov sp, r2
2:
    push {r1}
    push {r4-r11}
    mov r0, sp
    b nb_report_fault
    .ltorg
nb_end nb_hard_fault
