// SPDX-License-Identifier: Apache-2.0
/* Convolution with any kernel in portable C and with any requantization. */
#include "nb_conv_gather.h"

void nb_conv_any_s8(const nb_layer *layer, uint32_t first, uint32_t last) {
  const nb_conv_params *p = layer->params;
  const int8_t *input = layer->input;
  int8_t *output = layer->output;
  void *scratch = layer->scratch;
  const uint32_t depth = (uint32_t)p->kernel_h * p->kernel_w * p->in_c;
  const uint32_t row = (depth + 3u) & ~3u;
  int8_t *patch = scratch;
  for (uint32_t y = first; y < last; y++) {
    int8_t *target = output + nb_ring_place(p->out, y) * p->out_w * p->pitch;
    for (uint32_t x = 0; x < p->out_w; x++, target += p->pitch) {
      nb_conv_gather(p, input, y * p->out_w + x, 1, row, patch);
      const int8_t *weights = p->weights;
      for (uint32_t channel = 0; channel < p->out_c; channel++, weights += row) {
        int32_t sum = 0;
        for (uint32_t k = 0; k < depth; k++) sum += patch[k] * weights[k];
        target[channel] = nb_requantize(&p->requantization, channel, sum);
      }
    }
  }
}
