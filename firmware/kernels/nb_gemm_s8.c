/* See nb_gemm_s8.h. The inner loops are assembly: GCC uses no LDM and spills the accumulators. */
#include "nb_gemm_s8.h"

#include "nb_clamp_s8.h"

#ifdef NB_DSP

/* Read by the assembly below; the order matters. */
struct nb_gemm {
  const int32_t *bias_multiplier; /* r4 */
  const int8_t *shift;            /* r5 */
  int8_t *output;                 /* r6 */
  uint32_t output_stride;         /* r7 */
  int32_t round;                  /* r8: 2 * zero_point + 1 */
  const int32_t *end;             /* r9: behind the last of bias_multiplier */
  const int16_t *wide;            /* r12 */
  uint32_t blocks;                /* r14: blocks of 16 after the first 4, 8, 12 or 16 */
  const int8_t *weights;          /* r11 */
};

/* r0-r3 sums, r4-r7 pixels, r8 r9 weights, r10 widened weights, r11 weights, r12 pixels */
#define MULTIPLY(source)          \
  "smlad r1, r10, r5, " source(1) \
  "smlad r2, r10, r6, " source(2) \
  "smlad r3, r10, r7, " source(3) \
  "smlad r0, r10, r4, r0\n"
#define SUM(i) "r" #i "\n"
#define BIAS(i) "r0\n" /* the first product starts from the bias */
#define FOUR(weight, source)                    \
  "ldmia r12!, {r4-r7}\n"                       \
  "sxtb16 r10, " weight "\n" MULTIPLY(source)   \
  "ldmia r12!, {r4-r7}\n"                       \
  "sxtb16 r10, " weight ", ror #8\n" MULTIPLY(SUM)
#define LOAD_1 "ldr r8, [r11], #4\n"
#define LOAD_2 "ldrd r8, r9, [r11], #8\n"
#define MORE_8 LOAD_2 FOUR("r8", SUM) FOUR("r9", SUM)
#define FIRST_4 LOAD_1 FOUR("r8", BIAS)
#define FIRST_8 LOAD_2 FOUR("r8", BIAS) FOUR("r9", SUM)
#define FIRST_12 FIRST_4 MORE_8
#define FIRST_16 FIRST_8 MORE_8
#define NO_BLOCKS ""
#define BLOCKS "2:\n" MORE_8 MORE_8 "subs r14, #1\nbne 2b\n"

#define REQUANTIZE(i)                       \
  "smmlar r" #i ", r" #i ", r10, r" #i "\n" \
  "add r" #i ", r" #i ", r" #i ", asr #31\n" \
  "add r" #i ", r" #i ", r8, asr #1\n"      \
  "asr r" #i ", r" #i ", r12\n"             \
  "ssat r" #i ", #8, r" #i "\n"

#define GEMM(name, first, blocks)                                               \
  __attribute__((naked)) void name(const struct nb_gemm *call) {                \
    (void)call; /* in r0 */                                                     \
    __asm__ volatile(                                                           \
        "push {r4-r11, lr}\n"                                                   \
        "sub sp, #36\n"                                                         \
        "ldm r0, {r1-r9}\n"                                                     \
        "stm sp, {r1-r9}\n"                                                     \
        "mov r4, r1\n"                                                          \
        "mov r11, r9\n"                                                         \
        "1:\n" /* one output channel */                                         \
        "ldr r0, [r4]\n"                                                        \
        "ldrd r12, r14, [sp, #24]\n" first blocks                               \
        "ldm sp, {r4-r9}\n"                                                     \
        "ldr r10, [r4, #4]\n"                                                   \
        "ldrsb r12, [r5], #1\n"                                                 \
        "lsl r8, r8, r12\n" REQUANTIZE(0) REQUANTIZE(1) REQUANTIZE(2) REQUANTIZE(3) \
        "strb r1, [r6, r7]\n"                                                   \
        "strb r2, [r6, r7, lsl #1]\n"                                           \
        "add r14, r6, r7, lsl #1\n"                                             \
        "strb r3, [r14, r7]\n"                                                  \
        "strb r0, [r6], #1\n"                                                   \
        "adds r4, #8\n"                                                         \
        "stm sp, {r4-r6}\n"                                                     \
        "cmp r4, r9\n"                                                          \
        "bne 1b\n"                                                              \
        "add sp, #36\n"                                                         \
        "pop {r4-r11, pc}\n");                                                  \
  }

GEMM(nb_gemm_4, FIRST_4, NO_BLOCKS)
GEMM(nb_gemm_8, FIRST_8, NO_BLOCKS)
GEMM(nb_gemm_12, FIRST_12, NO_BLOCKS)
GEMM(nb_gemm_16, FIRST_16, NO_BLOCKS)
GEMM(nb_gemm_4_blocks, FIRST_4, BLOCKS)
GEMM(nb_gemm_8_blocks, FIRST_8, BLOCKS)
GEMM(nb_gemm_12_blocks, FIRST_12, BLOCKS)
GEMM(nb_gemm_16_blocks, FIRST_16, BLOCKS)

void nb_gemm_4_pixels(nb_gemm_function gemm, const int8_t *weights, const nb_requantization *r,
                      const int16_t *wide, uint32_t depth, uint32_t out_c, int8_t *output) {
  const struct nb_gemm call = {r->bias_multiplier,
                               r->shift,
                               output,
                               out_c,
                               2 * r->zero_point + 1,
                               r->bias_multiplier + 2 * out_c,
                               wide,
                               ((depth + 3) / 4 - 1) / 4,
                               weights};
  gemm(&call);
  nb_clamp_s8(r->minimum, r->maximum, output, NB_GEMM_PIXELS * out_c);
}

/* Widens `fours` words of four rows. */
__attribute__((naked)) static void widen(const int8_t *rows, uint32_t stride, uint32_t fours,
                                         int16_t *wide) {
  (void)rows, (void)stride, (void)fours, (void)wide; /* in r0-r3 */
  __asm__ volatile(
      "push {r4-r11, lr}\n"
      "mov r12, r3\n"
      "mov lr, r2\n"
      "add r2, r0, r1, lsl #1\n"
      "add r3, r2, r1\n"
      "add r1, r0\n"
      "1:\n"
      "ldr r8, [r0], #4\n"
      "ldr r9, [r1], #4\n"
      "ldr r10, [r2], #4\n"
      "ldr r11, [r3], #4\n"
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
      "pop {r4-r11, pc}\n");
}

void nb_gemm_widen(const int8_t *rows, uint32_t stride, uint32_t depth, int16_t *wide) {
  const uint32_t fours = depth / 4;
  if (fours != 0) widen(rows, stride, fours, wide);
  if (depth % 4 == 0) return;
  rows += 4 * fours;
  wide += 16 * fours;
  for (uint32_t pixel = 0; pixel < NB_GEMM_PIXELS; pixel++, rows += stride) {
    for (uint32_t k = 0; k < 4; k++) {
      wide[8 * (k % 2) + 2 * pixel + k / 2] = k < depth % 4 ? rows[k] : 0;
    }
  }
}

void nb_gemm_1_pixel(const int8_t *weights, const nb_requantization *r, const int8_t *row,
                     uint32_t depth, uint32_t out_c, int16_t *wide, int8_t *output) {
  const uint32_t fours = depth / 4;
  const uint32_t words = (depth + 3) / 4;
  uint32_t *pairs = (uint32_t *)(void *)wide;
  for (uint32_t i = 0; i < fours; i++) {
    const uint32_t word = nb_load_word(row + 4 * i);
    pairs[2 * i] = nb_sxtb16(word);
    pairs[2 * i + 1] = nb_sxtb16_high(word);
  }
  if (words != fours) {
    int32_t rest[4] = {0, 0, 0, 0};
    for (uint32_t k = 0; k < depth % 4; k++) rest[k] = row[4 * fours + k];
    pairs[2 * fours] = nb_pack_low((uint32_t)rest[0], (uint32_t)rest[2]);
    pairs[2 * fours + 1] = nb_pack_low((uint32_t)rest[1], (uint32_t)rest[3]);
  }
  for (uint32_t channel = 0; channel < out_c; channel++) {
    int32_t sum = r->bias_multiplier[2 * channel];
    for (uint32_t i = 0; i < words; i++, weights += 4) {
      const uint32_t word = nb_load_word(weights);
      sum = nb_smlad(nb_sxtb16(word), pairs[2 * i], sum);
      sum = nb_smlad(nb_sxtb16_high(word), pairs[2 * i + 1], sum);
    }
    if (r->fast) {
      const int32_t shift = r->shift[channel];
      output[channel] =
          (int8_t)nb_requantize_fast(sum, r->bias_multiplier[2 * channel + 1],
                                     (int32_t)((uint32_t)(2 * r->zero_point + 1) << shift), shift);
    } else {
      output[channel] = nb_requantize(r, channel, sum);
    }
  }
  if (r->fast) nb_clamp_s8(r->minimum, r->maximum, output, out_c);
}

#else
typedef int nb_gemm_s8_is_empty;
#endif
