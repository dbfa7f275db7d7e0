// SPDX-License-Identifier: Apache-2.0
/* Matrix product of four pixels with packed weights, on cores with DSP instructions.
 *
 * Shared by the convolutions. Pixels are widened once to int16 and interleaved, then every output
 * channel reads them with LDM: for each 4 values k, k+1, k+2, k+3 of the depth there are eight
 * words, (k, k+2) of pixels 0-3 and (k+1, k+3) of pixels 0-3. That is what SXTB16 makes of a word
 * of weights in their natural order, so weights need no shuffling.
 */
#ifndef NB_GEMM_S8_H
#define NB_GEMM_S8_H

#include "nb_dsp.h"
#include "nb_layout.h"

#define NB_GEMM_PIXELS 4u

/* Widens four rows of `depth` bytes, at least 4, `stride` bytes apart, into 8 * (depth rounded up
 * to 4) bytes. What lies behind the end of the rows counts as zero. */
void nb_gemm_widen(const int8_t *rows, uint32_t stride, uint32_t depth, int16_t *wide);

/* The same, 256 times as large: what one rounding needs with int8 weights. */
void nb_gemm_widen_256(const int8_t *rows, uint32_t stride, uint32_t depth, int16_t *wide);

typedef void nb_gemm_widen_function(const int8_t *rows, uint32_t stride, uint32_t depth,
                                    int16_t *wide);
static inline nb_gemm_widen_function *nb_gemm_widen_of(const nb_requantization *r) {
  return r->fast == NB_FAST_SINGLE ? nb_gemm_widen_256 : nb_gemm_widen;
}

/* Read by assembly. */
struct nb_gemm {
  const int32_t *channels;  /* r4: see nb_requantization */
  int8_t *output;           /* r6 */
  uint32_t output_stride;   /* r7 */
  int32_t zero_point;       /* r8; with one rounding the offset */
  uint32_t output_stride_3; /* r9: three times the stride */
  const int16_t *wide;      /* r12 */
  uint32_t words;           /* of 4 values; r14: passes through the loop */
  const void *weights;      /* r11 */
};
NB_FIELD(struct nb_gemm, channels, NB_GEMM_CHANNELS);
NB_FIELD(struct nb_gemm, output, NB_GEMM_OUTPUT);
NB_FIELD(struct nb_gemm, output_stride, NB_GEMM_OUTPUT_STRIDE);
NB_FIELD(struct nb_gemm, zero_point, NB_GEMM_ZERO_POINT);
NB_FIELD(struct nb_gemm, output_stride_3, NB_GEMM_OUTPUT_STRIDE_3);
NB_FIELD(struct nb_gemm, wide, NB_GEMM_WIDE);
NB_FIELD(struct nb_gemm, words, NB_GEMM_WORDS);
NB_FIELD(struct nb_gemm, weights, NB_GEMM_WEIGHTS);

static inline int32_t nb_gemm_zero_point(const nb_requantization *r) {
  return r->zero_point + (r->fast & NB_FAST_SINGLE ? NB_SINGLE_OFFSET : 0);
}

/* For products of the four pixels in `wide`, `depth` values each. All output channels of them are
 * made by nb_gemm_function, saturated to int8; pixel i's go to output + i * pitch. The caller sets
 * `output`. */
static inline void nb_gemm_prepare(struct nb_gemm *call, const void *weights,
                                   const nb_requantization *r, const int16_t *wide, uint32_t depth,
                                   uint32_t pitch) {
  call->channels = r->channels;
  call->output_stride = pitch;
  call->zero_point = nb_gemm_zero_point(r);
  call->output_stride_3 = 3 * pitch;
  call->wide = wide;
  call->words = (depth + 1) / 4;
  call->weights = weights;
}

/* The loops over the channels of one pixel with int8 weights; `wide` holds it in pairs. */
nb_gemm_function nb_gemm_1, nb_gemm_1_single;

/* All output channels of one pixel in `row`, saturated to int8; `wide` has room for 2 * depth
 * rounded up to 4 bytes. `gemm` matters only to int16 weights. */
void nb_gemm_1_pixel(nb_gemm_function *gemm, const void *weights, const nb_requantization *r,
                     const int8_t *row, uint32_t depth, int16_t *wide, int8_t *output);

#endif
