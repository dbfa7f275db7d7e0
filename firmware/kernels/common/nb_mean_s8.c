// SPDX-License-Identifier: Apache-2.0
/* Mean over height and width. */
#include "nb_parts.h"

void nb_mean_s8(const nb_layer *layer, uint32_t first, uint32_t last) {
  const nb_mean_params *p = layer->params;
  const int8_t *input = layer->input;
  int8_t *output = layer->output;
  const uint32_t channels = p->channels;
  (void)first, (void)last;
  for (uint32_t left = channels; left != 0;) {
    int32_t sums[4] = {p->offset, p->offset, p->offset, p->offset};
    uint32_t done = nb_sum_part(sums, left, input, p->pixels, channels);
    if (done == 0) {
      const int8_t *value = input;
      int32_t sum = p->offset;
      for (uint32_t i = p->pixels; i != 0; i--, value += channels) sum += *value;
      sums[0] = sum;
      done = 1;
    }
    input += done;
    left -= done;
    for (uint32_t i = 0; i < done; i++) {
      const int32_t mean = nb_multiply(sums[i], p->multiplier, p->shift);
      *output++ = (int8_t)nb_clamp(mean + p->zero_point, -128, 127);
    }
  }
}
