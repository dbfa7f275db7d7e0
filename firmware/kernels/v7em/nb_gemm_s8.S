// SPDX-License-Identifier: Apache-2.0
// Matrix products with int8 weights: see nb_gemm_s8.h. A compiler uses no LDM here and spills the
// accumulators.
#include "nb_backend.h"

#ifdef NB_DSP
#include "nb_gemm.inc"

// Weights are widened in r10.
.macro nb_four weight, from
    sxtb16 r10, \weight
    nb_pair r10, \from
    sxtb16 r10, \weight, ror #8
    nb_pair r10, sum
.endm

.macro nb_first_4
    ldr r8, [r11], #4
    nb_four r8, bias
.endm
.macro nb_first_8
    ldrd r8, r9, [r11], #8
    nb_four r8, bias
    nb_four r9, sum
.endm
.macro nb_more_8
    ldrd r8, r9, [r11], #8
    nb_four r8, sum
    nb_four r9, sum
.endm
// The last one or two values of the depth, if there are any: a pair that widening has made.
.macro nb_last rest
.if \rest
    ldr r8, [r11], #4
    orr r10, r8, r8, lsl #8
    sxtb16 r10, r10
    nb_pair r10, sum
.endif
.endm

// The first word or, where their number is even, the first two; then the loop over four words, from
// its middle where two more than a multiple of four are left; or not at all. Both places are found
// once and lie in the frame: one body for every depth takes 0.6 KB of flash, one for each remainder
// would take 2 KB and save one or two instructions for the four outputs.
//
// The frame is the struct, but that the two places take the weights' place.
.macro nb_gemm_loop name, rest, rounding
nb_function \name, 4
    push {r4-r11, lr}
    sub sp, #36
    ldr r11, [r0, #NB_GEMM_WEIGHTS]
    ldm r0, NB_GEMM_REGISTERS
    adr r10, 6f
    lsrs r14, #1 // The carry says that the number of words is odd.
    itt cs
    addcs r14, #1
    adrcs r10, 5f
    adr r5, 3f
    lsrs r14, #1 // 1 + the pairs of words behind the first ones; the carry says that they are even.
    it cs
    adrcs r5, 2f
    it eq
    adreq r5, 4f
    orr r10, #1 // The core stays in Thumb state.
    orr r5, #1
    stm sp, NB_GEMM_REGISTERS
    strd r10, r5, [sp, #28]
    nb_next_\rounding r4
1:  // One output channel.
    ldr pc, [sp, #28]
5:
    nb_first_4
    ldr pc, [sp, #32]
6:
    nb_first_8
    ldr pc, [sp, #32]
2:
    nb_more_8
3:
    nb_more_8
    subs r14, #1
    bne 2b
4:
    nb_last \rest
    nb_write \rounding, 36
nb_end \name
.endm

    nb_gemm_loop nb_gemm, 0, twice
    nb_gemm_loop nb_gemm_2, 1, twice
    nb_gemm_loop nb_gemm_single, 0, once
    nb_gemm_loop nb_gemm_2_single, 1, once

// Up to eight words of the depth without a loop.
.macro nb_gemm_short name, depth, rest, rounding
nb_function \name
    push {r4-r11, lr}
    sub sp, #28
    ldr r11, [r0, #NB_GEMM_WEIGHTS]
    ldm r0, NB_GEMM_REGISTERS
    stm sp, NB_GEMM_REGISTERS
    nb_next_\rounding r4
1:  // One output channel.
.if \depth & 4
    nb_first_4
.else
    nb_first_8
.endif
.rept (\depth - 4) / 8
    nb_more_8
.endr
    nb_last \rest
    nb_write \rounding, 28
nb_end \name
.endm

.irp depth, 4, 8, 12, 16, 20, 24, 28, 32
    nb_gemm_short nb_gemm_\depth, \depth, 0, twice
    nb_gemm_short nb_gemm_\depth\()_2, \depth, 1, twice
    nb_gemm_short nb_gemm_\depth\()_single, \depth, 0, once
    nb_gemm_short nb_gemm_\depth\()_2_single, \depth, 1, once
.endr

// Bytes 0 and 2, then 1 and 3, of words of pixels as halfwords; `scale` is 1, or 256 with the mask of
// the odd bytes in r3.
.macro nb_even scale, to, from
.if \scale == 1
    sxtb16 \to, \from
.else
    and \to, r3, \from, lsl #8
.endif
.endm
.macro nb_odd scale, value
.if \scale == 1
    sxtb16 \value, \value, ror #8
.else
    and \value, r3
.endif
.endm

// The last 1 to 3 values of a row are read with those before them, and shifted down. One or two
// become the pairs of nb_last: the first of the two groups of pairs.
.macro nb_widen name, scale
nb_function \name
    push {r2, r4-r11, lr}
    mov r12, r3
    lsr lr, r2, #2
    add r2, r0, r1, lsl #1
.if \scale != 1
    mov r3, #0xff00ff00
.endif
1:
    ldr r9, [r0, r1]
    ldr r8, [r0], #4
    ldr r11, [r2, r1]
    ldr r10, [r2], #4
2:
    nb_even \scale, r4, r8
    nb_even \scale, r5, r9
    nb_even \scale, r6, r10
    nb_even \scale, r7, r11
    nb_odd \scale, r8
    nb_odd \scale, r9
    nb_odd \scale, r10
    nb_odd \scale, r11
    stmia r12!, {r4-r11}
    subs lr, #1
    bne 1b
    ldr r4, [sp]
    ands r4, #3
    beq 3f
    str lr, [sp] // It is 0: none are left next time.
    subs r4, #4
    add r0, r4
    add r2, r4
    ldr r8, [r0]
    ldr r9, [r0, r1]
    ldr r10, [r2]
    ldr r11, [r2, r1]
    lsls r4, #3
    negs r4, r4
    lsrs r8, r4
    lsrs r9, r4
    lsrs r10, r4
    lsrs r11, r4
    cmp r4, #8
    beq 4f
    orr r8, r8, r8, lsl #8
    orr r9, r9, r9, lsl #8
    orr r10, r10, r10, lsl #8
    orr r11, r11, r11, lsl #8
4:
    movs lr, #1
    b 2b
3:
    pop {r2, r4-r11, pc}
nb_end \name
.endm

    nb_widen nb_gemm_widen, 1
    nb_widen nb_gemm_widen_256, 256

// One pixel. r0 sum, r1 weights, r2 pixels, r3 words left, r4-r7 pixels, r8 r9 weights, r10 widened
// weights, r11 all pixels, r12 words, r14 channels; sp: output, zero point. The call's `words` are
// rounded up.
.macro nb_word weight, low, high
    sxtb16 r10, \weight
    smlad r0, r10, \low, r0
    sxtb16 r10, \weight, ror #8
    smlad r0, r10, \high, r0
.endm
.macro nb_two_words
    ldrd r8, r9, [r1], #8
    ldmia r2!, {r4-r7}
    nb_word r8, r4, r5
    nb_word r9, r6, r7
.endm

.macro nb_gemm_pixel name, rounding
nb_function \name
    push {r4-r11, lr}
    sub sp, #8
    ldr r14, [r0], #NB_GEMM_OUTPUT
    ldm r0, {r4-r10} // Output, -, zero point, -, wide, words, weights.
    mov r11, r8
    mov r1, r10
    mov r12, r9
    strd r4, r6, [sp]
    nb_next_\rounding r14
1:  // One output channel.
    mov r2, r11
    lsrs r3, r12, #1
    bcc 2f
    ldr r8, [r1], #4
    ldrd r4, r5, [r2], #8
    nb_word r8, r4, r5
2:
    lsrs r3, #1
    bcs 4f
    beq 5f
    subs r3, #1
3:
    nb_two_words
4:
    nb_two_words
    subs r3, #1
    bge 3b
5:
    ldrd r5, r6, [sp]
    nb_round_1_\rounding r9
    strb r0, [r5], #1
    str r5, [sp]
    nb_next_\rounding r14
    nb_again_\rounding
    add sp, #8
    pop {r4-r11, pc}
nb_end \name
.endm

    nb_gemm_pixel nb_gemm_1, twice
    nb_gemm_pixel nb_gemm_1_single, once

#endif
