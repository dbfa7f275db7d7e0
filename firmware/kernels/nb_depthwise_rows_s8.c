/* See nb_depthwise_rows_s8.h.
 *
 * Rows of int16 make pairs of neighbours a word, so one SMLAD does two taps. Four columns at a
 * time: an even column pairs taps (0,1)(2,3).., an odd one at stride 1 starts inside a word and
 * pairs (1,2)(3,4).., its first tap taking the word's upper half. At stride 2 all are even.
 */
#include "nb_depthwise_rows_s8.h"

#ifdef NB_DSP

/* r0-r3 sums, r4-r10 words of pixels, r11 r12 pairs of taps, r14 pixels; sp as the struct */
#define AD(i, x, taps, from) "smlad r" #i ", " x ", " taps ", " from(i)
#define TB(i, x, taps, from) "smlatb r" #i ", " x ", " taps ", " from(i)
#define BT(i, x, taps, from) "smlabt r" #i ", " x ", " taps ", " from(i)
#define SUM(i) "r" #i "\n"
#define BIAS(i) "r0\n" /* r0 holds the bias until its own first product, the last one */
/* Where the pairs of taps lie from sp on: behind the frames described below. */
#define OWN "56"
#define SHARED "72"
#define TAPS(base, offset) "ldrd r11, r12, [sp, #" base " + " offset "]\n"
#define DOWN "add r14, r10\n"
#define X01 "r4"
#define X23 "r5"
#define X45 "r6"
#define X67 "r7"
#define X89 "r8"
#define XAB "r9"
#define XCD "r10"
#define P "r11"
#define Q "r12"

#define ROW_3_1(row, from)                                                       \
  TAPS(OWN, #row " * 8") "ldm r14, {r4-r6}\n" DOWN                               \
  TB(1, X01, P, from) AD(2, X23, P, from) TB(3, X23, P, from) AD(0, X01, P, SUM) \
  BT(0, X23, Q, SUM) AD(1, X23, Q, SUM) BT(2, X45, Q, SUM) AD(3, X45, Q, SUM)

#define ROW_5_1(row, from)                                                       \
  TAPS(SHARED, #row " * 16") "ldm r14, {r4-r7}\n" DOWN                           \
  TB(1, X01, P, from) AD(2, X23, P, from) TB(3, X23, P, from) AD(0, X01, P, SUM) \
  BT(0, X45, Q, SUM) AD(1, X45, Q, SUM) BT(2, X67, Q, SUM) AD(3, X67, Q, SUM)    \
  TAPS(SHARED, #row " * 16 + 8")                                                 \
  AD(0, X23, P, SUM) AD(1, X23, Q, SUM) AD(2, X45, P, SUM) AD(3, X45, Q, SUM)

#define ROW_7_1(row, from)                                                       \
  TAPS(SHARED, #row " * 24") "ldm r14, {r4-r8}\n" DOWN                           \
  TB(1, X01, P, from) AD(2, X23, P, from) TB(3, X23, P, from) AD(0, X01, P, SUM) \
  AD(0, X23, Q, SUM) AD(2, X45, Q, SUM)                                          \
  TAPS(SHARED, #row " * 24 + 8")                                                 \
  AD(0, X45, P, SUM) AD(2, X67, P, SUM) BT(0, X67, Q, SUM) BT(2, X89, Q, SUM)    \
  AD(1, X67, Q, SUM) AD(3, X89, Q, SUM)                                          \
  TAPS(SHARED, #row " * 24 + 16")                                                \
  AD(1, X23, P, SUM) AD(3, X45, P, SUM) AD(1, X45, Q, SUM) AD(3, X67, Q, SUM)

#define ROW_3_2(row, from)                                                       \
  TAPS(OWN, #row " * 8") "ldm r14, {r4-r8}\n" DOWN                               \
  AD(1, X23, P, from) AD(2, X45, P, from) AD(3, X67, P, from) AD(0, X01, P, SUM) \
  BT(0, X23, Q, SUM) BT(1, X45, Q, SUM) BT(2, X67, Q, SUM) BT(3, X89, Q, SUM)

#define ROW_5_2(row, from)                                                       \
  TAPS(SHARED, #row " * 16") "ldm r14, {r4-r9}\n" DOWN                           \
  AD(1, X23, P, from) AD(2, X45, P, from) AD(3, X67, P, from) AD(0, X01, P, SUM) \
  BT(0, X45, Q, SUM) BT(1, X67, Q, SUM) BT(2, X89, Q, SUM) BT(3, XAB, Q, SUM)    \
  "ldr r11, [sp, #" SHARED " + " #row " * 16 + 8]\n"                             \
  AD(0, X23, P, SUM) AD(1, X45, P, SUM) AD(2, X67, P, SUM) AD(3, X89, P, SUM)

/* Seven words of pixels: the row stride has no register and comes from the stack. */
#define ROW_7_2(row, from)                                                       \
  TAPS(SHARED, #row " * 24") "ldm r14, {r4-r10}\n"                               \
  AD(1, X23, P, from) AD(2, X45, P, from) AD(3, X67, P, from) AD(0, X01, P, SUM) \
  AD(0, X23, Q, SUM) AD(1, X45, Q, SUM) AD(2, X67, Q, SUM) AD(3, X89, Q, SUM)    \
  TAPS(SHARED, #row " * 24 + 8")                                                 \
  AD(0, X45, P, SUM) AD(1, X67, P, SUM) AD(2, X89, P, SUM) AD(3, XAB, P, SUM)    \
  BT(0, X67, Q, SUM) BT(1, X89, Q, SUM) BT(2, XAB, Q, SUM) BT(3, XCD, Q, SUM)    \
  "ldr r4, [sp, #36]\n"                                                          \
  "add r14, r4\n"

#define ROWS_3(row) row(0, BIAS) row(1, SUM) row(2, SUM)
#define ROWS_5(row) ROWS_3(row) row(3, SUM) row(4, SUM)
#define ROWS_7(row) ROWS_5(row) row(5, SUM) row(6, SUM)

/* Two roundings of sums 256 times as large: r5 is the rounding and the zero point in the high word of
 * the product, r6 the shift but for its last bit; what is negative is rounded away from zero. */
#define REQUANTIZE(i)                   \
  "asr r10, r" #i ", #31\n"             \
  "smmla r" #i ", r" #i ", r4, r5\n"    \
  "add r" #i ", r" #i ", r10, lsl #7\n" \
  "asr r" #i ", r" #i ", r6\n"          \
  "ssat r" #i ", #8, r" #i ", asr #1\n"
/* Once a channel: from r9, bias and shift, r10, twice the multiplier, and r12, 2 * zero_point + 1. */
#define ROUNDING       \
  "lsr r10, #1\n"      \
  "and r11, r9, #31\n" \
  "bic r9, #63\n"      \
  "lsl r9, #2\n"       \
  "add r11, #6\n"      \
  "lsl r12, r11\n"     \
  "add r12, #64\n"     \
  "strd r12, r11, [sp, #4]\n"

/* One rounding: see nb_requantization. */
#define ROUND_ONCE(i)                \
  "smmla r" #i ", r" #i ", r4, r5\n" \
  "ssat r" #i ", #8, r" #i ", asr #" NB_TEXT(NB_SINGLE_SHIFT) "\n"
#define NOTHING ""

/* Pairs of taps onto the stack: taps from r3; all but r0 r3 r5 r14 are free. */
#define TAPS_3                            \
  "ldr r9, [r3]\n"                        \
  "ldr r10, [r3, #3]\n"                   \
  "ldr r11, [r3, #5]\n" /* taps 5 to 8 */ \
  "sxtb16 r6, r9\n"                       \
  "sxtb16 r7, r9, ror #8\n"               \
  "sxtb16 r8, r10\n"                      \
  "sxtb16 r9, r10, ror #8\n"              \
  "sxtb16 r10, r11\n"                     \
  "sxtb16 r11, r11, ror #8\n"             \
  "add r12, sp, #" OWN "\n"               \
  "pkhbt r1, r6, r7, lsl #16\n"           \
  "pkhbt r2, r7, r6\n"                    \
  "pkhbt r6, r8, r9, lsl #16\n"           \
  "pkhbt r7, r9, r8\n"                    \
  "pkhbt r8, r11, r10\n"                  \
  "pkhtb r9, r11, r10, asr #16\n"         \
  "stm r12, {r1, r2, r6-r9}\n"

#define TAPS_5                         \
  "add r12, sp, #" SHARED "\n"         \
  "movs r11, #5\n"                     \
  "6:\n" /* (0,1) (3,4) (2,3) (1,2) */ \
  "ldr r9, [r3]\n"                     \
  "ldr r10, [r3, #1]\n"                \
  "adds r3, #5\n"                      \
  "sxtb16 r6, r9\n"                    \
  "sxtb16 r7, r9, ror #8\n"            \
  "sxtb16 r8, r10, ror #8\n"           \
  "pkhbt r1, r6, r7, lsl #16\n"        \
  "pkhtb r2, r8, r7, asr #16\n"        \
  "pkhtb r4, r7, r6, asr #16\n"        \
  "pkhbt r6, r7, r6\n"                 \
  "stm r12!, {r1, r2, r4, r6}\n"       \
  "subs r11, #1\n"                     \
  "bne 6b\n"

#define TAPS_7                                     \
  "add r12, sp, #" SHARED "\n"                     \
  "movs r11, #7\n"                                 \
  "6:\n" /* (0,1) (2,3) (4,5) (5,6) (1,2) (3,4) */ \
  "ldr r9, [r3]\n"                                 \
  "ldr r10, [r3, #3]\n"                            \
  "adds r3, #7\n"                                  \
  "sxtb16 r6, r9\n"                                \
  "sxtb16 r7, r9, ror #8\n"                        \
  "sxtb16 r8, r10\n"                               \
  "sxtb16 r9, r10, ror #8\n"                       \
  "pkhbt r0, r6, r7, lsl #16\n"                    \
  "pkhtb r1, r7, r6, asr #16\n"                    \
  "pkhbt r2, r9, r8\n"                             \
  "pkhtb r4, r9, r8, asr #16\n"                    \
  "pkhbt r6, r7, r6\n"                             \
  "pkhbt r7, r8, r9, lsl #16\n"                    \
  "stm r12!, {r0-r2, r4, r6, r7}\n"                \
  "subs r11, #1\n"                                 \
  "bne 6b\n"

/* The frame, from sp on: multiplier, rounding, shift, output, columns left, output stride, back,
 * three output strides, bias, row stride, next, rows left, columns, the struct; then pairs of taps.
 * What is of the call is put there once, */
#define CALL                 \
  "add r1, r0, #28\n"        \
  "ldm r1, {r2-r7}\n"        \
  "add r8, r4, r4, lsl #1\n" \
  "str r2, [sp, #4]\n"       \
  "strd r3, r4, [sp, #16]\n" \
  "strd r5, r8, [sp, #24]\n" \
  "strd r6, r7, [sp, #36]\n" \
  "strd r3, r0, [sp, #48]\n"

/* and what is of a channel in each: `step` of taps, `rounding`; `taps` makes pairs of those at r3. */
#define CHANNEL(step, rounding, loaded, taps) \
  "5:\n" /* one channel */                    \
  "ldm r0, {r1, r3-r8, r12}\n"                \
  "ldrd r9, r10, [r1], #8\n" rounding         \
  "str r9, [sp, #32]\n"                       \
  "str r10, [sp]\n"                           \
  "str r6, [sp, #12]\n"                       \
  "str r8, [sp, #44]\n"                       \
  "mov r14, r5\n"                             \
  "add r5, r7\n"                              \
  "adds r6, #1\n"                             \
  "subs r4, #1\n" loaded                      \
  "add r3, " step "\n"                        \
  "stm r0, {r1, r3-r6}\n"                     \
  "sub r3, " step "\n" taps                   \
  "1:\n"                                      \
  "ldr r10, [sp, #36]\n"                      \
  "2:\n" /* four columns */                   \
  "ldr r0, [sp, #32]\n"

/* Continues at `again` with the next four columns: 2, or 1 where r10 has changed. */
#define STORE(quantize, again)                    \
  "ldm sp, {r4-r9, r11, r12}\n"                   \
  quantize(0) quantize(1) quantize(2) quantize(3) \
  "sub r14, r11\n"                                \
  "subs r8, #4\n"                                 \
  "blt 3f\n"                                      \
  "strb r0, [r7]\n"                               \
  "strb r1, [r7, r9]\n"                           \
  "strb r2, [r7, r9, lsl #1]\n"                   \
  "strb r3, [r7, r12]\n"                          \
  "add r7, r7, r9, lsl #2\n"                      \
  "strd r7, r8, [sp, #12]\n"                      \
  "bgt " again "b\n"                              \
  "b 4f\n"                                        \
  "3:\n" /* r8 + 4 columns are left */            \
  "strb r0, [r7]\n"                               \
  "add r7, r9\n"                                  \
  "cmp r8, #-2\n"                                 \
  "blt 4f\n"                                      \
  "strb r1, [r7]\n"                               \
  "add r7, r9\n"                                  \
  "beq 4f\n"                                      \
  "strb r2, [r7]\n"                               \
  "add r7, r9\n"                                  \
  "4:\n" /* the next row */                       \
  "ldr r8, [sp, #48]\n"                           \
  "strd r7, r8, [sp, #12]\n"                      \
  "ldrd r4, r5, [sp, #40]\n"                      \
  "add r14, r4\n"                                 \
  "subs r5, #1\n"                                 \
  "str r5, [sp, #44]\n"                           \
  "bne 1b\n"                                      \
  "ldr r0, [sp, #52]\n"                           \
  "ldr r1, [r0, #8]\n"                            \
  "cmp r1, #0\n"                                  \
  "bne 5b\n"

/* A loop of its own: for 3x3, where two instructions more for four outputs would be 3 %. */
#define DEPTHWISE_3(name, rows, rounding, quantize, again)                   \
  __attribute__((naked)) void name(struct nb_depthwise_rows *call) {         \
    (void)call; /* in r0 */                                                  \
    __asm__ volatile(                                                        \
        "push {r4-r11, lr}\n"                                                \
        "sub sp, #" OWN " + 6 * 4\n" CALL                                    \
        CHANNEL("#9", rounding, NOTHING, TAPS_3) rows STORE(quantize, again) \
        "add sp, #" OWN " + 6 * 4\n"                                         \
        "pop {r4-r11, pc}\n");                                               \
  }

/* What the larger kernels share; behind the frame follow the addresses of their taps and rows,
 * bytes of the stack, and taps of a channel: r9-r12. Continued at LABEL after four outputs. */
#define DEPTHWISE_SHARED(name, label, rounding, quantize, again) \
  __attribute__((naked, used)) static void name(void) {          \
    __asm__ volatile(                                            \
        "adds r10, #1\n" /* Thumb */                             \
        "strd r9, r10, [sp, #56]\n"                              \
        "strd r11, r12, [sp, #64]\n" CALL                        \
        CHANNEL("r9", rounding, "ldr r9, [sp, #68]\n",           \
                "mov r5, r14\n"                                  \
                "ldr r14, [sp, #56]\n"                           \
                "blx r14\n"                                      \
                "mov r14, r5\n")                                 \
        "ldr pc, [sp, #60]\n"                                    \
        ".thumb_func\n" label ":\n" STORE(quantize, again)       \
        "ldr r1, [sp, #64]\n"                                    \
        "add sp, r1\n"                                           \
        "pop {r4-r11, pc}\n");                                   \
  }

#define DEPTHWISE_TAPS(name, taps)                      \
  __attribute__((naked, used)) static void name(void) { \
    __asm__ volatile(taps "bx lr\n");                   \
  }

#define DEPTHWISE(name, size, pairs, taps, rows, shared, label)                  \
  __attribute__((naked, aligned(4))) void name(struct nb_depthwise_rows *call) { \
    (void)call; /* in r0 */                                                      \
    __asm__ volatile(                                                            \
        "push {r4-r11, lr}\n"                                                    \
        "mov r11, #" SHARED " + " #pairs " * 4\n"                                \
        "sub sp, r11\n"                                                          \
        "mov r12, #" #size " * " #size "\n"                                      \
        "movw r9, #:lower16:" #taps "\n"                                         \
        "movt r9, #:upper16:" #taps "\n"                                         \
        "adr r10, 8f\n"                                                          \
        "b.w " #shared "\n"                                                      \
        ".balign 4\n"                                                            \
        "8:\n" rows                                                              \
        "b.w " label "\n");                                                      \
  }

#define BOTH(name, size, pairs, taps, rows)                                      \
  DEPTHWISE(name, size, pairs, taps, rows, depthwise_two, "depthwise_two_store") \
  DEPTHWISE(name##_single, size, pairs, taps, rows, depthwise_one, "depthwise_one_store")

DEPTHWISE_3(nb_depthwise_rows_3_1, ROWS_3(ROW_3_1), ROUNDING, REQUANTIZE, "1")
DEPTHWISE_3(nb_depthwise_rows_3_2, ROWS_3(ROW_3_2), ROUNDING, REQUANTIZE, "1")
DEPTHWISE_3(nb_depthwise_rows_3_1_single, ROWS_3(ROW_3_1), NOTHING, ROUND_ONCE, "2")
DEPTHWISE_3(nb_depthwise_rows_3_2_single, ROWS_3(ROW_3_2), NOTHING, ROUND_ONCE, "2")
DEPTHWISE_SHARED(depthwise_two, "depthwise_two_store", ROUNDING, REQUANTIZE, "1")
DEPTHWISE_SHARED(depthwise_one, "depthwise_one_store", NOTHING, ROUND_ONCE, "2")
DEPTHWISE_TAPS(depthwise_taps_5, TAPS_5)
DEPTHWISE_TAPS(depthwise_taps_7, TAPS_7)
BOTH(nb_depthwise_rows_5_1, 5, 20, depthwise_taps_5, ROWS_5(ROW_5_1))
BOTH(nb_depthwise_rows_5_2, 5, 20, depthwise_taps_5, ROWS_5(ROW_5_2))
BOTH(nb_depthwise_rows_7_1, 7, 42, depthwise_taps_7, ROWS_7(ROW_7_1))
BOTH(nb_depthwise_rows_7_2, 7, 42, depthwise_taps_7, ROWS_7(ROW_7_2))

/* r0 input, r1 its stride, r2 pixels left, r3-r6 the planes, r7 three times the stride, r14 the mask
 * of the odd bytes */
#define PAIR(first, second)      \
  "ldr r8, [" first "]\n"        \
  "ldr r9, [" second "]\n"       \
  "pkhbt r10, r8, r9, lsl #16\n" \
  "pkhtb r11, r9, r8, asr #16\n" \
  "and r8, r14, r10, lsl #8\n"   \
  "and r9, r14, r10\n"           \
  "str r8, [r3], #4\n"           \
  "str r9, [r4], #4\n"           \
  "and r8, r14, r11, lsl #8\n"   \
  "and r9, r14, r11\n"           \
  "str r8, [r5], #4\n"           \
  "str r9, [r6], #4\n"

__attribute__((naked)) void nb_depthwise_copy_rows(const nb_depthwise_copy *copy) {
  (void)copy; /* in r0 */
  __asm__ volatile(
      "push {r2-r11, lr}\n"
      "ldm r0, {r0-r4, r12, r14}\n"
      "strd r2, r14, [sp]\n"
      "mov r14, #0xff00ff00\n"
      "add r5, r3, r4, lsl #1\n"
      "add r6, r5, r4\n"
      "add r4, r3\n"
      "add r7, r1, r1, lsl #1\n"
      "1:\n" /* one row */
      "ldr r2, [sp]\n"
      "subs r2, #4\n"
      "blt 3f\n"
      "2:\n" PAIR("r0", "r0, r1") PAIR("r0, r1, lsl #1", "r0, r7")
      "add r0, r0, r1, lsl #2\n"
      "subs r2, #4\n"
      "bge 2b\n"
      "3:\n"
      "lsls r2, #31\n" /* one pixel more: minus; two more: carry */
      "bcc 4f\n" PAIR("r0", "r0, r1")
      "add r0, r0, r1, lsl #1\n"
      "4:\n"
      "cmp r2, #0\n"
      "beq 5f\n"
      "ldr r8, [r0]\n"
      "and r9, r14, r8, lsl #8\n"
      "and r10, r14, r8\n"
      "strh r9, [r3], #2\n"
      "strh r10, [r4], #2\n"
      "lsr r9, #16\n"
      "lsr r10, #16\n"
      "strh r9, [r5], #2\n"
      "strh r10, [r6], #2\n"
      "add r0, r1\n"
      "5:\n"
      "ldr r8, [sp, #4]\n"
      "add r3, r8\n"
      "add r4, r8\n"
      "add r5, r8\n"
      "add r6, r8\n"
      "subs r12, #1\n"
      "bne 1b\n"
      "pop {r2-r11, pc}\n");
}

#else
typedef int nb_depthwise_rows_s8_is_empty;
#endif
