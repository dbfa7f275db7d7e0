/* See nb_gemm_s8.h. The inner loops are assembly: GCC uses no LDM and spills the accumulators. */
#include "nb_clamp_s8.h"
#include "nb_gemm_asm.h"

#ifdef NB_DSP

/* Weights are widened in r10. */
#define FOUR(weight, source)                                \
  "sxtb16 r10, " weight "\n" PAIR("r10", source)            \
  "sxtb16 r10, " weight ", ror #8\n" PAIR("r10", SUM)
/* The last one or two values of the depth: a pair that widening has made. */
#define TWO(weight, source)                     \
  "orr r10, " weight ", " weight ", lsl #8\n"   \
  "sxtb16 r10, r10\n" PAIR("r10", source)
#define LOAD_1 "ldr r8, [r11], #4\n"
#define LOAD_2 "ldrd r8, r9, [r11], #8\n"
#define MORE_8 LOAD_2 FOUR("r8", SUM) FOUR("r9", SUM)
#define FIRST_4 LOAD_1 FOUR("r8", BIAS)
#define FIRST_8 LOAD_2 FOUR("r8", BIAS) FOUR("r9", SUM)
#define FIRST_12 FIRST_4 MORE_8
#define FIRST_16 FIRST_8 MORE_8
#define BLOCKS "2:\n" MORE_8 MORE_8 "subs r14, #1\nbne 2b\n"
#define LAST_2 LOAD_1 TWO("r8", SUM)

GEMM(nb_gemm_4, NOTHING, FIRST_4, NOTHING, NOTHING, REQUANTIZE)
GEMM(nb_gemm_8, NOTHING, FIRST_8, NOTHING, NOTHING, REQUANTIZE)
GEMM(nb_gemm_12, NOTHING, FIRST_12, NOTHING, NOTHING, REQUANTIZE)
GEMM(nb_gemm_16, NOTHING, FIRST_16, NOTHING, NOTHING, REQUANTIZE)
GEMM(nb_gemm_4_blocks, NOTHING, FIRST_4, BLOCKS, NOTHING, REQUANTIZE)
GEMM(nb_gemm_8_blocks, NOTHING, FIRST_8, BLOCKS, NOTHING, REQUANTIZE)
GEMM(nb_gemm_12_blocks, NOTHING, FIRST_12, BLOCKS, NOTHING, REQUANTIZE)
GEMM(nb_gemm_16_blocks, NOTHING, FIRST_16, BLOCKS, NOTHING, REQUANTIZE)
GEMM(nb_gemm_4_2, NOTHING, FIRST_4, NOTHING, LAST_2, REQUANTIZE)
GEMM(nb_gemm_8_2, NOTHING, FIRST_8, NOTHING, LAST_2, REQUANTIZE)
GEMM(nb_gemm_12_2, NOTHING, FIRST_12, NOTHING, LAST_2, REQUANTIZE)
GEMM(nb_gemm_16_2, NOTHING, FIRST_16, NOTHING, LAST_2, REQUANTIZE)
GEMM(nb_gemm_4_blocks_2, NOTHING, FIRST_4, BLOCKS, LAST_2, REQUANTIZE)
GEMM(nb_gemm_8_blocks_2, NOTHING, FIRST_8, BLOCKS, LAST_2, REQUANTIZE)
GEMM(nb_gemm_12_blocks_2, NOTHING, FIRST_12, BLOCKS, LAST_2, REQUANTIZE)
GEMM(nb_gemm_16_blocks_2, NOTHING, FIRST_16, BLOCKS, LAST_2, REQUANTIZE)

void nb_gemm_4_pixels(nb_gemm_function gemm, const void *weights, const nb_requantization *r,
                      const int16_t *wide, uint32_t depth, uint32_t out_c, int8_t *output) {
  const struct nb_gemm call = {r->bias_multiplier,
                               r->shift,
                               output,
                               out_c,
                               r->zero_point,
                               r->bias_multiplier + 2 * out_c,
                               3 * out_c,
                               wide,
                               ((depth + 1) / 4 - 1) / 4,
                               weights};
  gemm(&call);
  nb_clamp_s8(r->minimum, r->maximum, output, NB_GEMM_PIXELS * out_c);
}

/* The last 1 to 3 values of a row are read with those before them, and shifted down. One or two
 * become the pairs of LAST_2: the first of the two groups of pairs. */
__attribute__((naked)) void nb_gemm_widen(const int8_t *rows, uint32_t stride, uint32_t depth,
                                          int16_t *wide) {
  (void)rows, (void)stride, (void)depth, (void)wide; /* in r0-r3 */
  __asm__ volatile(
      "push {r2, r4-r11, lr}\n"
      "mov r12, r3\n"
      "lsr lr, r2, #2\n"
      "add r2, r0, r1, lsl #1\n"
      "add r3, r2, r1\n"
      "add r1, r0\n"
      "1:\n"
      "ldr r8, [r0], #4\n"
      "ldr r9, [r1], #4\n"
      "ldr r10, [r2], #4\n"
      "ldr r11, [r3], #4\n"
      "2:\n"
      "sxtb16 r4, r8\n"
      "sxtb16 r5, r9\n"
      "sxtb16 r6, r10\n"
      "sxtb16 r7, r11\n"
      "sxtb16 r8, r8, ror #8\n"
      "sxtb16 r9, r9, ror #8\n"
      "sxtb16 r10, r10, ror #8\n"
      "sxtb16 r11, r11, ror #8\n"
      "stmia r12!, {r4-r11}\n"
      "subs lr, #1\n"
      "bne 1b\n"
      "ldr r4, [sp]\n"
      "ands r4, #3\n"
      "beq 3f\n"
      "str lr, [sp]\n" /* 0: none are left next time */
      "subs r4, #4\n"
      "ldr r8, [r0, r4]\n"
      "ldr r9, [r1, r4]\n"
      "ldr r10, [r2, r4]\n"
      "ldr r11, [r3, r4]\n"
      "lsls r4, #3\n"
      "negs r4, r4\n"
      "lsrs r8, r4\n"
      "lsrs r9, r4\n"
      "lsrs r10, r4\n"
      "lsrs r11, r4\n"
      "cmp r4, #8\n"
      "beq 4f\n"
      "orr r8, r8, r8, lsl #8\n"
      "orr r9, r9, r9, lsl #8\n"
      "orr r10, r10, r10, lsl #8\n"
      "orr r11, r11, r11, lsl #8\n"
      "4:\n"
      "movs lr, #1\n"
      "b 2b\n"
      "3:\n"
      "pop {r2, r4-r11, pc}\n");
}

/* One pixel. r0 sum, r1 weights, r2 pixels, r3 words left, r4-r7 pixels, r8 r9 weights, r10 widened
 * weights, r11 all pixels, r12 words, r14 bias and multiplier; sp: shift, output, zero point, end */
#define WORD(weight, low, high)    \
  "sxtb16 r10, " weight "\n"       \
  "smlad r0, r10, " low ", r0\n"   \
  "sxtb16 r10, " weight ", ror #8\n" \
  "smlad r0, r10, " high ", r0\n"
#define TWO_WORDS                  \
  "ldrd r8, r9, [r1], #8\n"        \
  "ldmia r2!, {r4-r7}\n" WORD("r8", "r4", "r5") WORD("r9", "r6", "r7")

__attribute__((naked)) static void gemm_1(const struct nb_gemm *call) {
  (void)call; /* in r0; `blocks` are words */
  __asm__ volatile(
      "push {r4-r11, lr}\n"
      "sub sp, #20\n"
      "ldr r14, [r0], #4\n"
      "ldm r0, {r2-r9, r12}\n" /* shift, output, -, zero point, end, -, wide, words, weights */
      "mov r11, r8\n"
      "mov r1, r12\n"
      "mov r12, r9\n"
      "mov r4, r5\n"
      "mov r5, r6\n"
      "stm sp, {r2-r5}\n"
      "1:\n" /* one output channel */
      "ldr r0, [r14], #4\n"
      "mov r2, r11\n"
      "lsrs r3, r12, #1\n"
      "bcc 2f\n"
      "ldr r8, [r1], #4\n"
      "ldrd r4, r5, [r2], #8\n" WORD("r8", "r4", "r5")
      "2:\n"
      "lsrs r3, #1\n"
      "bcs 4f\n"
      "beq 5f\n"
      "subs r3, #1\n"
      "3:\n" TWO_WORDS
      "4:\n" TWO_WORDS
      "subs r3, #1\n"
      "bge 3b\n"
      "5:\n"
      "ldm sp, {r4-r7}\n"
      "ldr r10, [r14], #4\n"
      "ldrsb r9, [r4], #1\n"
      REQUANTIZE_BY("r0", "r10", "r9", "r6")
      "strb r0, [r5], #1\n"
      "strd r4, r5, [sp]\n"
      "cmp r14, r7\n"
      "bne 1b\n"
      "add sp, #20\n"
      "pop {r4-r11, pc}\n");
}

void nb_gemm_1_pixel(nb_gemm_function gemm, const void *weights, const nb_requantization *r,
                     const int8_t *row, uint32_t depth, uint32_t out_c, int16_t *wide,
                     int8_t *output) {
  const int of_int16 = r->fast == NB_FAST_INT16;
  /* int16 weights have one pair for the last one or two values. */
  const uint32_t rest = of_int16 ? (depth % 4 + 1) / 2 % 2 : 0;
  const uint32_t words = (depth + 3) / 4;
  uint32_t *pairs = (uint32_t *)(void *)wide;
  for (uint32_t i = 0; i < words; i++) {
    uint32_t word = 0;
    if (4 * i + 4 <= depth) {
      word = nb_load_word(row + 4 * i);
    } else {
      for (uint32_t k = depth; k-- > 4 * i;) word = word << (rest ? 16 : 8) | (uint8_t)row[k];
    }
    pairs[2 * i] = nb_sxtb16(word);
    pairs[2 * i + 1] = nb_sxtb16_high(word);
  }
  const struct nb_gemm call = {
      r->bias_multiplier, r->shift, output, 0, r->zero_point, r->bias_multiplier + 2 * out_c, 0,
      wide, of_int16 ? 2 * words - rest : words, weights,
  };
  if (of_int16) {
    gemm(&call);
  } else {
    gemm_1(&call);
  }
  nb_clamp_s8(r->minimum, r->maximum, output, out_c);
}

#else
typedef int nb_gemm_s8_is_empty;
#endif
