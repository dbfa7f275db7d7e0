// SPDX-License-Identifier: Apache-2.0
/* Fully connected layer in portable C and with any requantization. */
#include "nb_arithmetic.h"

void nb_fully_connected_any_s8(const nb_layer *layer, uint32_t first, uint32_t last) {
  const nb_fully_connected_params *p = layer->params;
  const int8_t *input = layer->input;
  int8_t *output = layer->output;
  (void)first, (void)last;
  const uint32_t row = (p->in_c + 3u) & ~3u;
  for (uint32_t item = 0; item < p->batch; item++, input += p->in_c, output += p->out_c) {
    const int8_t *weights = p->weights;
    for (uint32_t channel = 0; channel < p->out_c; channel++, weights += row) {
      int32_t sum = 0;
      for (uint32_t k = 0; k < p->in_c; k++) sum += input[k] * weights[k];
      output[channel] = nb_requantize(&p->requantization, channel, sum);
    }
  }
}
