// SPDX-License-Identifier: Apache-2.0
/* 1x1 convolution, stride 1, in portable C and with any requantization. */
#include "nb_arithmetic.h"

static void multiply(const nb_conv_1x1_params *p, uint32_t pixels, const int8_t *input,
                     int8_t *output) {
  const uint32_t depth = p->in_c;
  const uint32_t row = (depth + 3u) & ~3u;
  for (uint32_t pixel = 0; pixel < pixels; pixel++) {
    const int8_t *weights = p->weights;
    for (uint32_t channel = 0; channel < p->out_c; channel++) {
      int32_t sum = 0;
      for (uint32_t k = 0; k < depth; k++) sum += input[k] * weights[k];
      output[channel] = nb_requantize(&p->requantization, channel, sum);
      weights += row;
    }
    input += depth;
    output += p->pitch;
  }
}

void nb_conv_1x1_any_s8(const nb_layer *layer, uint32_t first, uint32_t last) {
  const nb_conv_1x1_params *p = layer->params;
  const int8_t *input = layer->input;
  int8_t *output = layer->output;
  for (uint32_t y = first, run; y < last; y += run) {
    run = nb_ring_run(p->out, y, y + nb_ring_run(p->in, y, last));
    multiply(p, run * p->width, input + nb_ring_place(p->in, y) * p->width * p->in_c,
             output + nb_ring_place(p->out, y) * p->width * p->pitch);
  }
}
