// SPDX-License-Identifier: Apache-2.0
/* Matrix product of one pixel: widens it as the assembly for one pixel reads it. */
#include "nb_kernels.h"

#ifdef NB_DSP
#include "nb_gemm_s8.h"

void nb_gemm_1_pixel(nb_gemm_function *gemm, const void *weights, const nb_requantization *r,
                     const int8_t *row, uint32_t depth, int16_t *wide, int8_t *output) {
  const int of_int16 = r->fast & NB_FAST_INT16;
  const int scaled = r->fast == NB_FAST_SINGLE;
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
    pairs[2 * i] = scaled ? word << 8 & NB_ODD_BYTES : nb_sxtb16(word);
    pairs[2 * i + 1] = scaled ? word & NB_ODD_BYTES : nb_sxtb16_high(word);
  }
  const struct nb_gemm call = {
      r->channels, output, 0, nb_gemm_zero_point(r), 0, wide, of_int16 ? 2 * words - rest : words,
      weights,
  };
  (of_int16 ? gemm : scaled ? nb_gemm_1_single : nb_gemm_1)(&call);
}

#endif
