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
#define TAPS(offset) "ldrd r11, r12, [sp, #48 + " offset "]\n"
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

#define ROW_3_1(row, from)                                                \
  TAPS(#row " * 8") "ldm r14, {r4-r6}\n" DOWN                             \
  TB(1, X01, P, from) AD(2, X23, P, from) TB(3, X23, P, from) AD(0, X01, P, SUM) \
  BT(0, X23, Q, SUM) AD(1, X23, Q, SUM) BT(2, X45, Q, SUM) AD(3, X45, Q, SUM)

#define ROW_5_1(row, from)                                                \
  TAPS(#row " * 16") "ldm r14, {r4-r7}\n" DOWN                            \
  TB(1, X01, P, from) AD(2, X23, P, from) TB(3, X23, P, from) AD(0, X01, P, SUM) \
  BT(0, X45, Q, SUM) AD(1, X45, Q, SUM) BT(2, X67, Q, SUM) AD(3, X67, Q, SUM) \
  TAPS(#row " * 16 + 8")                                                  \
  AD(0, X23, P, SUM) AD(1, X23, Q, SUM) AD(2, X45, P, SUM) AD(3, X45, Q, SUM)

#define ROW_7_1(row, from)                                                \
  TAPS(#row " * 24") "ldm r14, {r4-r8}\n" DOWN                            \
  TB(1, X01, P, from) AD(2, X23, P, from) TB(3, X23, P, from) AD(0, X01, P, SUM) \
  AD(0, X23, Q, SUM) AD(2, X45, Q, SUM)                                   \
  TAPS(#row " * 24 + 8")                                                  \
  AD(0, X45, P, SUM) AD(2, X67, P, SUM) BT(0, X67, Q, SUM) BT(2, X89, Q, SUM) \
  AD(1, X67, Q, SUM) AD(3, X89, Q, SUM)                                   \
  TAPS(#row " * 24 + 16")                                                 \
  AD(1, X23, P, SUM) AD(3, X45, P, SUM) AD(1, X45, Q, SUM) AD(3, X67, Q, SUM)

#define ROW_3_2(row, from)                                                \
  TAPS(#row " * 8") "ldm r14, {r4-r8}\n" DOWN                             \
  AD(1, X23, P, from) AD(2, X45, P, from) AD(3, X67, P, from) AD(0, X01, P, SUM) \
  BT(0, X23, Q, SUM) BT(1, X45, Q, SUM) BT(2, X67, Q, SUM) BT(3, X89, Q, SUM)

#define ROW_5_2(row, from)                                                \
  TAPS(#row " * 16") "ldm r14, {r4-r9}\n" DOWN                            \
  AD(1, X23, P, from) AD(2, X45, P, from) AD(3, X67, P, from) AD(0, X01, P, SUM) \
  BT(0, X45, Q, SUM) BT(1, X67, Q, SUM) BT(2, X89, Q, SUM) BT(3, XAB, Q, SUM) \
  "ldr r11, [sp, #48 + " #row " * 16 + 8]\n"                              \
  AD(0, X23, P, SUM) AD(1, X45, P, SUM) AD(2, X67, P, SUM) AD(3, X89, P, SUM)

/* Seven words of pixels: the row stride has no register and comes from the stack. */
#define ROW_7_2(row, from)                                                \
  TAPS(#row " * 24") "ldm r14, {r4-r10}\n"                                \
  AD(1, X23, P, from) AD(2, X45, P, from) AD(3, X67, P, from) AD(0, X01, P, SUM) \
  AD(0, X23, Q, SUM) AD(1, X45, Q, SUM) AD(2, X67, Q, SUM) AD(3, X89, Q, SUM) \
  TAPS(#row " * 24 + 8")                                                  \
  AD(0, X45, P, SUM) AD(1, X67, P, SUM) AD(2, X89, P, SUM) AD(3, XAB, P, SUM) \
  BT(0, X67, Q, SUM) BT(1, X89, Q, SUM) BT(2, XAB, Q, SUM) BT(3, XCD, Q, SUM) \
  "ldr r4, [sp, #32]\n"                                                   \
  "add r14, r4\n"

#define ROWS_3(row) row(0, BIAS) row(1, SUM) row(2, SUM)
#define ROWS_5(row) ROWS_3(row) row(3, SUM) row(4, SUM)
#define ROWS_7(row) ROWS_5(row) row(5, SUM) row(6, SUM)

#define COPY(registers) "ldmia r0!, " registers "\nstmia r12!, " registers "\n"
#define COPY_18 COPY("{r1-r9}") COPY("{r1-r9}")
#define COPY_32 COPY("{r1-r8}") COPY("{r1-r8}") COPY("{r1-r8}") COPY("{r1-r8}")
#define COPY_54 COPY_18 COPY_18 COPY_18

#define REQUANTIZE(i)                        \
  "smmlar r" #i ", r" #i ", r4, r" #i "\n"   \
  "add r" #i ", r" #i ", r" #i ", asr #31\n" \
  "add r" #i ", r" #i ", r5, asr #1\n"       \
  "asr r" #i ", r" #i ", r6\n"               \
  "ssat r" #i ", #8, r" #i "\n"

#define DEPTHWISE(name, bytes, copy, rows)                                      \
  __attribute__((naked)) static void name(const nb_depthwise_rows *args) {      \
    (void)args; /* in r0 */                                                     \
    __asm__ volatile(                                                           \
        "push {r4-r11, lr}\n"                                                   \
        "sub sp, #" #bytes "\n"                                                 \
        "mov r12, sp\n" copy                                                    \
        "ldr r14, [sp, #44]\n"                                                  \
        "ldr r0, [sp, #16]\n"                                                   \
        "str r0, [sp, #44]\n" /* from now on this slot keeps the columns */     \
        "1:\n" /* one output row */                                             \
        "ldr r10, [sp, #32]\n"                                                  \
        "2:\n" /* four columns */                                               \
        "ldr r0, [sp, #28]\n" rows                                              \
        "ldm sp, {r4-r9, r11}\n"                                                \
        REQUANTIZE(0) REQUANTIZE(1) REQUANTIZE(2) REQUANTIZE(3)                 \
        "sub r14, r11\n"                                                        \
        "subs r8, #4\n"                                                         \
        "blt 3f\n"                                                              \
        "strb r0, [r7]\n"                                                       \
        "strb r1, [r7, r9]\n"                                                   \
        "strb r2, [r7, r9, lsl #1]\n"                                           \
        "add r12, r7, r9, lsl #1\n"                                             \
        "strb r3, [r12, r9]\n"                                                  \
        "add r7, r7, r9, lsl #2\n"                                              \
        "strd r7, r8, [sp, #12]\n"                                              \
        "bgt 2b\n"                                                              \
        "b 4f\n"                                                                \
        "3:\n" /* r8 + 4 columns are left */                                    \
        "strb r0, [r7]\n"                                                       \
        "add r7, r9\n"                                                          \
        "cmp r8, #-2\n"                                                         \
        "blt 4f\n"                                                              \
        "strb r1, [r7]\n"                                                       \
        "add r7, r9\n"                                                          \
        "beq 4f\n"                                                              \
        "strb r2, [r7]\n"                                                       \
        "add r7, r9\n"                                                          \
        "4:\n"                                                                  \
        "ldr r8, [sp, #44]\n"                                                   \
        "strd r7, r8, [sp, #12]\n"                                              \
        "ldrd r4, r5, [sp, #36]\n"                                              \
        "add r14, r4\n"                                                         \
        "subs r5, #1\n"                                                         \
        "str r5, [sp, #40]\n"                                                   \
        "bne 1b\n"                                                              \
        "add sp, #" #bytes "\n"                                                 \
        "pop {r4-r11, pc}\n");                                                  \
  }

DEPTHWISE(rows_3_1, 72, COPY_18, ROWS_3(ROW_3_1))
DEPTHWISE(rows_3_2, 72, COPY_18, ROWS_3(ROW_3_2))
DEPTHWISE(rows_5_1, 128, COPY_32, ROWS_5(ROW_5_1))
DEPTHWISE(rows_5_2, 128, COPY_32, ROWS_5(ROW_5_2))
DEPTHWISE(rows_7_1, 216, COPY_54, ROWS_7(ROW_7_1))
DEPTHWISE(rows_7_2, 216, COPY_54, ROWS_7(ROW_7_2))

nb_depthwise_rows_function nb_depthwise_rows_for(uint32_t kernel, uint32_t stride) {
  if (stride != 1 && stride != 2) return 0;
  switch (kernel) {
    case 3: return stride == 1 ? rows_3_1 : rows_3_2;
    case 5: return stride == 1 ? rows_5_1 : rows_5_2;
    case 7: return stride == 1 ? rows_7_1 : rows_7_2;
    default: return 0;
  }
}

static inline uint32_t pair(const int8_t *taps, uint32_t first) {
  return nb_pack_low((uint32_t)(int32_t)taps[first], (uint32_t)(int32_t)taps[first + 1]);
}

void nb_depthwise_pairs(const int8_t *taps, uint32_t kernel, uint32_t *pairs) {
  for (uint32_t row = 0; row < kernel; row++, taps += kernel) {
    if (kernel == 3) {
      *pairs++ = pair(taps, 0);
      *pairs++ = pair(taps, 1);
    } else if (kernel == 5) {
      *pairs++ = pair(taps, 0);
      *pairs++ = pair(taps, 3);
      *pairs++ = pair(taps, 2);
      *pairs++ = pair(taps, 1);
    } else {
      *pairs++ = pair(taps, 0);
      *pairs++ = pair(taps, 2);
      *pairs++ = pair(taps, 4);
      *pairs++ = pair(taps, 5);
      *pairs++ = pair(taps, 1);
      *pairs++ = pair(taps, 3);
    }
  }
}

#else
typedef int nb_depthwise_rows_s8_is_empty;
#endif
