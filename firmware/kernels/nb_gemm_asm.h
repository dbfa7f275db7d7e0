/* What the matrix products of int8 and of int16 weights share: the loop over output channels. */
#ifndef NB_GEMM_ASM_H
#define NB_GEMM_ASM_H

#include "nb_gemm_s8.h"

#ifdef NB_DSP

/* Read by assembly; the order matters. */
struct nb_gemm {
  const int32_t *bias_multiplier; /* r4 */
  const int8_t *shift;            /* r5 */
  int8_t *output;                 /* r6 */
  uint32_t output_stride;         /* r7 */
  int32_t zero_point;             /* r8 */
  const int32_t *end;             /* r9: behind the last of bias_multiplier */
  uint32_t output_stride_3;       /* r14: three times the stride */
  const int16_t *wide;            /* r12 */
  uint32_t blocks;                /* r14: blocks of 16 behind the first 4, 8, 12 or 16 */
  const void *weights;            /* r11 */
};

/* r0-r3 sums, r4-r7 pixels, r8-r10 weights, r11 weights, r12 pixels */
#define MULTIPLY(weight, source)             \
  "smlad r1, " weight ", r5, " source(1)     \
  "smlad r2, " weight ", r6, " source(2)     \
  "smlad r3, " weight ", r7, " source(3)     \
  "smlad r0, " weight ", r4, r0\n"
#define PAIR(weight, source) "ldmia r12!, {r4-r7}\n" MULTIPLY(weight, source)
#define SUM(i) "r" #i "\n"
#define BIAS(i) "r0\n" /* the first product starts from the bias */
#define NOTHING ""

/* See nb_requantize_fast; the carry is the last bit that the shift drops: half. */
#define REQUANTIZE_BY(i, multiplier, shift, zero_point)                      \
  "smmlar " i ", " i ", " multiplier ", " i "\n"                             \
  "add " i ", " i ", " i ", asr #31\n"                                       \
  "asrs " i ", " shift "\n"                                                  \
  "adc " i ", " zero_point "\n"                                              \
  "ssat " i ", #8, " i "\n"
#define REQUANTIZE                                                           \
  REQUANTIZE_BY("r0", "r10", "r12", "r8") REQUANTIZE_BY("r1", "r10", "r12", "r8") \
  REQUANTIZE_BY("r2", "r10", "r12", "r8") REQUANTIZE_BY("r3", "r10", "r12", "r8")

/* The frame is the struct, but that the first pointer and the end lie 4 bytes lower: the pointer is
 * that of the last channel's multiplier. */
#define GEMM(name, entry, first, blocks, last, requantize)                      \
  __attribute__((naked)) void name(const struct nb_gemm *call) {                \
    (void)call; /* in r0 */                                                     \
    __asm__ volatile(                                                           \
        entry                                                                   \
        "push {r4-r11, lr}\n"                                                   \
        "sub sp, #44\n"                                                         \
        "ldm r0, {r1-r10}\n"                                                    \
        "subs r1, #4\n"                                                         \
        "subs r6, #4\n"                                                         \
        "stm sp, {r1-r10}\n"                                                    \
        "mov r4, r1\n"                                                          \
        "mov r11, r10\n"                                                        \
        "1:\n" /* one output channel */                                         \
        "ldr r0, [r4, #4]\n"                                                    \
        "ldrd r12, r14, [sp, #28]\n" first blocks last                          \
        "ldm sp, {r4-r9, r14}\n"                                                \
        "ldr r10, [r4, #8]!\n"                                                  \
        "ldrsb r12, [r5], #1\n" requantize                                      \
        "strb r1, [r6, r7]\n"                                                   \
        "strb r2, [r6, r7, lsl #1]\n"                                           \
        "strb r3, [r6, r14]\n"                                                  \
        "strb r0, [r6], #1\n"                                                   \
        "stm sp, {r4-r6}\n"                                                     \
        "cmp r4, r9\n"                                                          \
        "bne 1b\n"                                                              \
        "add sp, #44\n"                                                         \
        "pop {r4-r11, pc}\n");                                                  \
  }

#endif
#endif
