/* What the matrix products of int8 and of int16 weights share: the loop over output channels. */
#ifndef NB_GEMM_ASM_H
#define NB_GEMM_ASM_H

#include "nb_gemm_s8.h"

#ifdef NB_DSP

#define FRAME "{r4, r6-r9, r12, r14}"

/* r0-r3 sums, r4-r7 pixels, r8-r10 weights, r11 weights, r12 pixels */
#define MULTIPLY(weight, source)         \
  "smlad r1, " weight ", r5, " source(1) \
  "smlad r2, " weight ", r6, " source(2) \
  "smlad r3, " weight ", r7, " source(3) \
  "smlad r0, " weight ", r4, r0\n"
#define PAIR(weight, source) "ldmia r12!, {r4-r7}\n" MULTIPLY(weight, source)
#define SUM(i) "r" #i "\n"
#define BIAS(i) "r0\n" /* the first product starts from the bias */
#define NOTHING ""

/* See nb_requantize_fast; the carry is the last bit that the shift drops: half. */
#define REQUANTIZE_BY(i, multiplier, shift, zero_point) \
  "smmlar " i ", " i ", " multiplier ", " i "\n"        \
  "add " i ", " i ", " i ", asr #31\n"                  \
  "asrs " i ", " shift "\n"                             \
  "adc " i ", " zero_point "\n"                         \
  "ssat " i ", #8, " i "\n"
#define REQUANTIZE_4                                                            \
  REQUANTIZE_BY("r0", "r10", "r5", "r8") REQUANTIZE_BY("r1", "r10", "r5", "r8") \
  REQUANTIZE_BY("r2", "r10", "r5", "r8") REQUANTIZE_BY("r3", "r10", "r5", "r8")

/* Two roundings. A channel's bias; carry: the channel before was the last one. */
#define TWICE_NEXT(channels) \
  "ldr r0, [" channels "]\n" \
  "asrs r0, #6\n"
#define TWICE_AGAIN "bcc 1b\n"
/* Shift and multiplier of a channel. */
#define TWICE_SCALING(shift, channels)        \
  "ldrd " shift ", r10, [" channels "], #8\n" \
  "and " shift ", #31\n"
#define TWICE_4 TWICE_SCALING("r5", "r4") REQUANTIZE_4
#define TWICE_1(spare) TWICE_SCALING(spare, "r14") REQUANTIZE_BY("r0", "r10", spare, "r6")

/* One rounding: see nb_requantization. */
#define ONCE_NEXT(channels)  \
  "ldr r0, [" channels "]\n" \
  "cmp r0, #0x80000000\n"
#define ONCE_AGAIN "bne 1b\n"
#define ROUND_ONCE(i, slope, offset)            \
  "smmla " i ", " i ", " slope ", " offset "\n" \
  "ssat " i ", #8, " i ", asr #" NB_TEXT(NB_SINGLE_SHIFT) "\n"
#define ONCE_4                                                \
  "ldrd r5, r10, [r4], #8\n"                                  \
  ROUND_ONCE("r0", "r10", "r8") ROUND_ONCE("r1", "r10", "r8") \
  ROUND_ONCE("r2", "r10", "r8") ROUND_ONCE("r3", "r10", "r8")
#define ONCE_1(spare) "ldrd " spare ", r10, [r14], #8\n" ROUND_ONCE("r0", "r10", "r6")

/* The end of an output channel, and behind the last one the end of the function. */
#define WRITE(rounding, frame_bytes)     \
  "ldm sp, " FRAME "\n" rounding##_4     \
  "strb r1, [r6, r7]\n"                  \
  "strb r2, [r6, r7, lsl #1]\n"          \
  "strb r3, [r6, r9]\n"                  \
  "strb r0, [r6], #1\n"                  \
  "stm sp, {r4, r6}\n"                   \
  rounding##_NEXT("r4") rounding##_AGAIN \
  "add sp, #" frame_bytes "\n"           \
  "pop {r4-r11, pc}\n"

#endif
#endif
