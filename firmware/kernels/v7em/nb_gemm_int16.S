// SPDX-License-Identifier: Apache-2.0
// Matrix products with int16 weights: where flash has room, nothing has to be widened in the loop.
//
// Weights lie in the pairs that widened pixels have: (k, k+2) (k+1, k+3) for each 4 values of the
// depth, one pair (k, k+1) for one or two at the end.
//
// One rounding (_single) needs sums 256 times as large: here the weights are, not the pixels.
#include "nb_backend.h"

#ifdef NB_DSP
#include "nb_gemm.inc"

.macro nb_pairs_2 from
    ldmia r11!, {r8, r9}
    nb_pair r8, \from
    nb_pair r9, sum
.endm
.macro nb_pairs_3 from
    ldmia r11!, {r8-r10}
    nb_pair r8, \from
    nb_pair r9, sum
    nb_pair r10, sum
.endm

// The frame is the struct without the weights. `one` is the function for one pixel, which a call
// without an output stride is.
.macro nb_gemm_wide name, one, first, blocks, rest, rounding
nb_function \name
    ldr r1, [r0, #NB_GEMM_OUTPUT_STRIDE]
    cbnz r1, 8f
    b.w \one
8:
    push {r4-r11, lr}
    sub sp, #28
    ldr r11, [r0, #NB_GEMM_WEIGHTS]
    ldm r0, NB_GEMM_REGISTERS
    subs r14, #1
    lsrs r14, #2 // Blocks of 16 behind the first 4, 8, 12 or 16.
    stm sp, NB_GEMM_REGISTERS
    nb_next_\rounding r4
1:  // One output channel.
.if \first == 4
    nb_pairs_2 bias
.elseif \first == 8
    nb_pairs_2 bias
    nb_pairs_2 sum
.else
    nb_pairs_3 bias
    nb_pairs_3 sum
.endif
.if \first == 16
    nb_pairs_2 sum
.endif
.if \blocks
2:
    nb_pairs_3 sum
    nb_pairs_3 sum
    nb_pairs_2 sum
    subs r14, #1
    bne 2b
.endif
.if \rest
    ldr r8, [r11], #4
    nb_pair r8, sum
.endif
    nb_write \rounding, 28
nb_end \name
.endm

.irp first, 4, 8, 12, 16
    nb_gemm_wide nb_gemm_\first\()_int16, nb_gemm_1_int16, \first, 0, 0, twice
    nb_gemm_wide nb_gemm_\first\()_int16_single, nb_gemm_1_int16_single, \first, 0, 0, once
.endr
.irp first, 4, 8, 12, 16
    nb_gemm_wide nb_gemm_\first\()_blocks_int16, nb_gemm_1_int16, \first, 1, 0, twice
    nb_gemm_wide nb_gemm_\first\()_blocks_int16_single, nb_gemm_1_int16_single, \first, 1, 0, once
.endr
.irp first, 4, 8, 12, 16
    nb_gemm_wide nb_gemm_\first\()_2_int16, nb_gemm_1_int16, \first, 0, 1, twice
    nb_gemm_wide nb_gemm_\first\()_2_int16_single, nb_gemm_1_int16_single, \first, 0, 1, once
.endr
.irp first, 4, 8, 12, 16
    nb_gemm_wide nb_gemm_\first\()_blocks_2_int16, nb_gemm_1_int16, \first, 1, 1, twice
    nb_gemm_wide nb_gemm_\first\()_blocks_2_int16_single, nb_gemm_1_int16_single, \first, 1, 1, once
.endr

// One pixel. r0 sum, r1 weights, r2 pixels, r3 fours left, r4-r7 pixels, r8-r10 r12 weights, r11 all
// pixels, r14 channels; sp: output, zero point, pairs. The call's `words` are pairs.
.macro nb_four_pairs
    ldmia r1!, {r8-r10, r12}
    ldmia r2!, {r4-r7}
    smlad r0, r8, r4, r0
    smlad r0, r9, r5, r0
    smlad r0, r10, r6, r0
    smlad r0, r12, r7, r0
.endm

.macro nb_gemm_pixel name, rounding
nb_function \name
    push {r4-r11, lr}
    sub sp, #12
    ldr r14, [r0], #NB_GEMM_OUTPUT
    ldm r0, {r4-r10} // Output, -, zero point, -, wide, pairs, weights.
    mov r11, r8
    mov r1, r10
    stm sp, {r4, r6, r9}
    nb_next_\rounding r14
1:  // One output channel.
    mov r2, r11
    ldr r3, [sp, #8]
    lsls r12, r3, #31 // Minus says that there is one pair more; carry, that there are two more.
    bcc 2f
    ldrd r8, r9, [r1], #8
    ldrd r4, r5, [r2], #8
    smlad r0, r8, r4, r0
    smlad r0, r9, r5, r0
2:
    bpl 3f
    ldr r8, [r1], #4
    ldr r4, [r2], #4
    smlad r0, r8, r4, r0
3:
    lsrs r3, #3
    bcs 5f
    beq 6f
    subs r3, #1
4:
    nb_four_pairs
5:
    nb_four_pairs
    subs r3, #1
    bge 4b
6:
    ldrd r5, r6, [sp]
    nb_round_1_\rounding r12
    strb r0, [r5], #1
    str r5, [sp]
    nb_next_\rounding r14
    nb_again_\rounding
    add sp, #12
    pop {r4-r11, pc}
nb_end \name
.endm

    nb_gemm_pixel nb_gemm_1_int16, twice
    nb_gemm_pixel nb_gemm_1_int16_single, once

#endif
