// SPDX-License-Identifier: Apache-2.0
// Output rows of depthwise convolutions with square kernels: see nb_depthwise_rows_s8.h.
//
// Rows of int16 make pairs of neighbours a word, so one SMLAD does two taps. Four columns at a
// time: an even column pairs taps (0,1)(2,3).., an odd one at stride 1 starts inside a word and
// pairs (1,2)(3,4).., its first tap taking the word's upper half. At stride 2 all are even.
#include "nb_backend.h"

#ifdef NB_DSP
#include "nb_assembly.inc"
#include "nb_layout.h"

// r0-r3 are sums, r4-r10 words of pixels, named by their two columns; r11 and r12 are pairs of taps,
// r14 points to pixels. r0 holds the bias until its own first product, which is the last one of the
// first: `from` says whether a product is added to its sum or to the bias.
#define X01 r4
#define X23 r5
#define X45 r6
#define X67 r7
#define X89 r8
#define XAB r9
#define XCD r10
#define P r11
#define Q r12
// Where the pairs of taps lie from sp on: behind the frames that are described below.
#define OWN 56
#define SHARED 72

.macro nb_multiply operation, i, x, taps, from
.ifc \from, bias
    \operation r\i, \x, \taps, r0
.else
    \operation r\i, \x, \taps, r\i
.endif
.endm
// Both halves of both words; top by bottom; bottom by top.
.macro nb_ad i, x, taps, from
    nb_multiply smlad, \i, \x, \taps, \from
.endm
.macro nb_tb i, x, taps, from
    nb_multiply smlatb, \i, \x, \taps, \from
.endm
.macro nb_bt i, x, taps, from
    nb_multiply smlabt, \i, \x, \taps, \from
.endm

// The first two pairs of taps of a row with every one of the columns, at stride 1 and at stride 2.
.macro nb_first_pair_1 from
    nb_tb 1, X01, P, \from
    nb_ad 2, X23, P, \from
    nb_tb 3, X23, P, \from
    nb_ad 0, X01, P, sum
.endm
.macro nb_first_pair_2 from
    nb_ad 1, X23, P, \from
    nb_ad 2, X45, P, \from
    nb_ad 3, X67, P, \from
    nb_ad 0, X01, P, sum
.endm

// A row of the kernel of each size and stride. r10 holds the row stride where it is no pixel.
.macro nb_row_3_1 row, from
    ldrd P, Q, [sp, #OWN + \row * 8]
    ldm r14, {r4-r6}
    add r14, r10
    nb_first_pair_1 \from
    nb_bt 0, X23, Q, sum
    nb_ad 1, X23, Q, sum
    nb_bt 2, X45, Q, sum
    nb_ad 3, X45, Q, sum
.endm

.macro nb_row_5_1 row, from
    ldrd P, Q, [sp, #SHARED + \row * 16]
    ldm r14, {r4-r7}
    add r14, r10
    nb_first_pair_1 \from
    nb_bt 0, X45, Q, sum
    nb_ad 1, X45, Q, sum
    nb_bt 2, X67, Q, sum
    nb_ad 3, X67, Q, sum
    ldrd P, Q, [sp, #SHARED + \row * 16 + 8]
    nb_ad 0, X23, P, sum
    nb_ad 1, X23, Q, sum
    nb_ad 2, X45, P, sum
    nb_ad 3, X45, Q, sum
.endm

.macro nb_row_7_1 row, from
    ldrd P, Q, [sp, #SHARED + \row * 24]
    ldm r14, {r4-r8}
    add r14, r10
    nb_first_pair_1 \from
    nb_ad 0, X23, Q, sum
    nb_ad 2, X45, Q, sum
    ldrd P, Q, [sp, #SHARED + \row * 24 + 8]
    nb_ad 0, X45, P, sum
    nb_ad 2, X67, P, sum
    nb_bt 0, X67, Q, sum
    nb_bt 2, X89, Q, sum
    nb_ad 1, X67, Q, sum
    nb_ad 3, X89, Q, sum
    ldrd P, Q, [sp, #SHARED + \row * 24 + 16]
    nb_ad 1, X23, P, sum
    nb_ad 3, X45, P, sum
    nb_ad 1, X45, Q, sum
    nb_ad 3, X67, Q, sum
.endm

.macro nb_row_3_2 row, from
    ldrd P, Q, [sp, #OWN + \row * 8]
    ldm r14, {r4-r8}
    add r14, r10
    nb_first_pair_2 \from
    nb_bt 0, X23, Q, sum
    nb_bt 1, X45, Q, sum
    nb_bt 2, X67, Q, sum
    nb_bt 3, X89, Q, sum
.endm

.macro nb_row_5_2 row, from
    ldrd P, Q, [sp, #SHARED + \row * 16]
    ldm r14, {r4-r9}
    add r14, r10
    nb_first_pair_2 \from
    nb_bt 0, X45, Q, sum
    nb_bt 1, X67, Q, sum
    nb_bt 2, X89, Q, sum
    nb_bt 3, XAB, Q, sum
    ldr P, [sp, #SHARED + \row * 16 + 8]
    nb_ad 0, X23, P, sum
    nb_ad 1, X45, P, sum
    nb_ad 2, X67, P, sum
    nb_ad 3, X89, P, sum
.endm

// Seven words of pixels: the row stride has no register and comes from the stack.
.macro nb_row_7_2 row, from
    ldrd P, Q, [sp, #SHARED + \row * 24]
    ldm r14, {r4-r10}
    nb_first_pair_2 \from
    nb_ad 0, X23, Q, sum
    nb_ad 1, X45, Q, sum
    nb_ad 2, X67, Q, sum
    nb_ad 3, X89, Q, sum
    ldrd P, Q, [sp, #SHARED + \row * 24 + 8]
    nb_ad 0, X45, P, sum
    nb_ad 1, X67, P, sum
    nb_ad 2, X89, P, sum
    nb_ad 3, XAB, P, sum
    nb_bt 0, X67, Q, sum
    nb_bt 1, X89, Q, sum
    nb_bt 2, XAB, Q, sum
    nb_bt 3, XCD, Q, sum
    ldr r4, [sp, #36]
    add r14, r4
.endm

.macro nb_rows size, stride
    nb_row_\size\()_\stride 0, bias
.irp row, 1, 2
    nb_row_\size\()_\stride \row, sum
.endr
.if \size > 3
.irp row, 3, 4
    nb_row_\size\()_\stride \row, sum
.endr
.endif
.if \size > 5
.irp row, 5, 6
    nb_row_\size\()_\stride \row, sum
.endr
.endif
.endm

// Two roundings of sums 256 times as large: r5 is the rounding and the zero point in the high word
// of the product, r6 the shift but for its last bit; what is negative is rounded away from zero.
.macro nb_requantize_twice value
    asr r10, \value, #31
    smmla \value, \value, r4, r5
    add \value, \value, r10, lsl #7
    asr \value, \value, r6
    ssat \value, #8, \value, asr #1
.endm
// Once a channel: from r9, bias and shift, r10, twice the multiplier, and r12, 2 * zero_point + 1.
.macro nb_prepare_twice
    lsr r10, #1
    and r11, r9, #31
    bic r9, #63
    lsl r9, #2
    add r11, #6
    lsl r12, r11
    add r12, #64
    strd r12, r11, [sp, #4]
.endm

// One rounding: see nb_requantization.
.macro nb_requantize_once value
    smmla \value, \value, r4, r5
    ssat \value, #8, \value, asr #NB_SINGLE_SHIFT
.endm
.macro nb_prepare_once
.endm

// Pairs of taps onto the stack: taps from r3; all but r0 r3 r5 r14 are free.
.macro nb_taps_3
    ldr r9, [r3]
    ldr r10, [r3, #3]
    ldr r11, [r3, #5] // Taps 5 to 8.
    sxtb16 r6, r9
    sxtb16 r7, r9, ror #8
    sxtb16 r8, r10
    sxtb16 r9, r10, ror #8
    sxtb16 r10, r11
    sxtb16 r11, r11, ror #8
    add r12, sp, #OWN
    pkhbt r1, r6, r7, lsl #16
    pkhbt r2, r7, r6
    pkhbt r6, r8, r9, lsl #16
    pkhbt r7, r9, r8
    pkhbt r8, r11, r10
    pkhtb r9, r11, r10, asr #16
    stm r12, {r1, r2, r6-r9}
.endm

nb_local nb_depthwise_taps_5
    add r12, sp, #SHARED
    movs r11, #5
6:  // (0,1) (3,4) (2,3) (1,2)
    ldr r9, [r3]
    ldr r10, [r3, #1]
    adds r3, #5
    sxtb16 r6, r9
    sxtb16 r7, r9, ror #8
    sxtb16 r8, r10, ror #8
    pkhbt r1, r6, r7, lsl #16
    pkhtb r2, r8, r7, asr #16
    pkhtb r4, r7, r6, asr #16
    pkhbt r6, r7, r6
    stm r12!, {r1, r2, r4, r6}
    subs r11, #1
    bne 6b
    bx lr
nb_end nb_depthwise_taps_5

nb_local nb_depthwise_taps_7
    add r12, sp, #SHARED
    movs r11, #7
6:  // (0,1) (2,3) (4,5) (5,6) (1,2) (3,4)
    ldr r9, [r3]
    ldr r10, [r3, #3]
    adds r3, #7
    sxtb16 r6, r9
    sxtb16 r7, r9, ror #8
    sxtb16 r8, r10
    sxtb16 r9, r10, ror #8
    pkhbt r0, r6, r7, lsl #16
    pkhtb r1, r7, r6, asr #16
    pkhbt r2, r9, r8
    pkhtb r4, r9, r8, asr #16
    pkhbt r6, r7, r6
    pkhbt r7, r8, r9, lsl #16
    stm r12!, {r0-r2, r4, r6, r7}
    subs r11, #1
    bne 6b
    bx lr
nb_end nb_depthwise_taps_7

// The frame, from sp on: multiplier, rounding, shift, output, columns left, output stride, back,
// three output strides, bias, row stride, next, rows left, columns, the struct; then pairs of taps.
// What is of the call is put there once, and what is of a channel for each.
.macro nb_call
    add r1, r0, #NB_DEPTHWISE_ROUND
    ldm r1, {r2-r7}
    add r8, r4, r4, lsl #1
    str r2, [sp, #4]
    strd r3, r4, [sp, #16]
    strd r5, r8, [sp, #24]
    strd r6, r7, [sp, #36]
    strd r3, r0, [sp, #48]
.endm

.macro nb_channel_begin rounding
5:  // One channel.
    ldm r0, {r1, r3-r8, r12}
    ldrd r9, r10, [r1], #8
    nb_prepare_\rounding
    str r9, [sp, #32]
    str r10, [sp]
    str r6, [sp, #12]
    str r8, [sp, #44]
    mov r14, r5
    add r5, r7
    adds r6, #1
    subs r4, #1
.endm
// `step` is the number of taps.
.macro nb_channel_next step
    add r3, \step
    stm r0, {r1, r3-r6}
    sub r3, \step
.endm
.macro nb_columns_begin
1:
    ldr r10, [sp, #36]
2:  // Four columns.
    ldr r0, [sp, #32]
.endm

// Continues with the next four columns: at 2, or at 1 where r10 has changed.
.macro nb_store rounding
    ldm sp, {r4-r9, r11, r12}
.irp i, 0, 1, 2, 3
    nb_requantize_\rounding r\i
.endr
    sub r14, r11
    subs r8, #4
    blt 3f
    strb r0, [r7]
    strb r1, [r7, r9]
    strb r2, [r7, r9, lsl #1]
    strb r3, [r7, r12]
    add r7, r7, r9, lsl #2
    strd r7, r8, [sp, #12]
.ifc \rounding, twice
    bgt 1b
.else
    bgt 2b
.endif
    b 4f
3:  // r8 + 4 columns are left.
    strb r0, [r7]
    add r7, r9
    cmp r8, #-2
    blt 4f
    strb r1, [r7]
    add r7, r9
    beq 4f
    strb r2, [r7]
    add r7, r9
4:  // The next row.
    ldr r8, [sp, #48]
    strd r7, r8, [sp, #12]
    ldrd r4, r5, [sp, #40]
    add r14, r4
    subs r5, #1
    str r5, [sp, #44]
    bne 1b
    ldr r0, [sp, #52]
    ldr r1, [r0, #NB_DEPTHWISE_CHANNELS]
    cmp r1, #0
    bne 5b
.endm

// A loop of its own: for 3x3, where two instructions more for four outputs would be 3 %.
.macro nb_depthwise_3 name, stride, rounding
nb_function \name
    push {r4-r11, lr}
    sub sp, #OWN + 6 * 4
    nb_call
    nb_channel_begin \rounding
    nb_channel_next #9
    nb_taps_3
    nb_columns_begin
    nb_rows 3, \stride
    nb_store \rounding
    add sp, #OWN + 6 * 4
    pop {r4-r11, pc}
nb_end \name
.endm

    nb_depthwise_3 nb_depthwise_rows_3_1, 1, twice
    nb_depthwise_3 nb_depthwise_rows_3_2, 2, twice
    nb_depthwise_3 nb_depthwise_rows_3_1_single, 1, once
    nb_depthwise_3 nb_depthwise_rows_3_2_single, 2, once

// What the larger kernels share; behind the frame follow the addresses of their taps and rows,
// bytes of the stack, and taps of a channel: r9-r12. Continued at NAME_store after four outputs.
.macro nb_depthwise_shared name, rounding
nb_local \name
    adds r10, #1 // The core stays in Thumb state.
    strd r9, r10, [sp, #56]
    strd r11, r12, [sp, #64]
    nb_call
    nb_channel_begin \rounding
    ldr r9, [sp, #68]
    nb_channel_next r9
    mov r5, r14
    ldr r14, [sp, #56]
    blx r14
    mov r14, r5
    nb_columns_begin
    ldr pc, [sp, #60]
    .thumb_func
\name\()_store:
    nb_store \rounding
    ldr r1, [sp, #64]
    add sp, r1
    pop {r4-r11, pc}
nb_end \name
.endm

    nb_depthwise_shared nb_depthwise_twice, twice
    nb_depthwise_shared nb_depthwise_once, once

.macro nb_depthwise name, size, stride, pairs, shared
nb_function \name, 4
    push {r4-r11, lr}
    mov r11, #SHARED + \pairs * 4
    sub sp, r11
    mov r12, #\size * \size
    movw r9, #:lower16:nb_depthwise_taps_\size
    movt r9, #:upper16:nb_depthwise_taps_\size
    adr r10, 8f
    b.w \shared
    .balign 4
8:
    nb_rows \size, \stride
    b.w \shared\()_store
nb_end \name
.endm

.irp stride, 1, 2
    nb_depthwise nb_depthwise_rows_5_\stride, 5, \stride, 20, nb_depthwise_twice
    nb_depthwise nb_depthwise_rows_5_\stride\()_single, 5, \stride, 20, nb_depthwise_once
.endr
.irp stride, 1, 2
    nb_depthwise nb_depthwise_rows_7_\stride, 7, \stride, 42, nb_depthwise_twice
    nb_depthwise nb_depthwise_rows_7_\stride\()_single, 7, \stride, 42, nb_depthwise_once
.endr

// Rows of four channels from NHWC to planes. r0 input, r1 its stride, r2 pixels left, r3-r6 the
// planes, r7 three times the stride, r14 the mask of the odd bytes.
.macro nb_two_pixels first, second
    ldr r8, [\first]
    ldr r9, [\second]
    pkhbt r10, r8, r9, lsl #16
    pkhtb r11, r9, r8, asr #16
    and r8, r14, r10, lsl #8
    and r9, r14, r10
    str r8, [r3], #4
    str r9, [r4], #4
    and r8, r14, r11, lsl #8
    and r9, r14, r11
    str r8, [r5], #4
    str r9, [r6], #4
.endm

nb_function nb_depthwise_copy_rows
    push {r2-r11, lr}
    ldm r0, {r0-r4, r12, r14}
    strd r2, r14, [sp]
    mov r14, #0xff00ff00
    add r5, r3, r4, lsl #1
    add r6, r5, r4
    add r4, r3
    add r7, r1, r1, lsl #1
1:  // One row.
    ldr r2, [sp]
    subs r2, #4
    blt 3f
2:
    nb_two_pixels r0, "r0, r1"
    nb_two_pixels "r0, r1, lsl #1", "r0, r7"
    add r0, r0, r1, lsl #2
    subs r2, #4
    bge 2b
3:
    lsls r2, #31 // Minus says that there is one pixel more; carry, that there are two more.
    bcc 4f
    nb_two_pixels r0, "r0, r1"
    add r0, r0, r1, lsl #1
4:
    cmp r2, #0
    beq 5f
    ldr r8, [r0]
    and r9, r14, r8, lsl #8
    and r10, r14, r8
    strh r9, [r3], #2
    strh r10, [r4], #2
    lsr r9, #16
    lsr r10, #16
    strh r9, [r5], #2
    strh r10, [r6], #2
    add r0, r1
5:
    ldr r8, [sp, #4]
    add r3, r8
    add r4, r8
    add r5, r8
    add r6, r8
    subs r12, #1
    bne 1b
    pop {r2-r11, pc}
nb_end nb_depthwise_copy_rows

#endif
