// SPDX-License-Identifier: Apache-2.0
/* Padding with a constant around rows, columns and channels. */
#include "nb_arithmetic.h"

void nb_pad_s8(const nb_layer *layer, uint32_t first, uint32_t last) {
  const nb_pad_params *p = layer->params;
  const int8_t *input = layer->input;
  int8_t *output = layer->output;
  for (uint32_t y = first; y < last; y++) {
    const uint32_t source = y - p->before[0]; /* wraps above the input's top */
    int8_t *target =
        output + nb_ring_place(p->out, y) * (uint32_t)p->out_shape[1] * p->out_shape[2];
    memset(target, p->value, (uint32_t)p->out_shape[1] * p->out_shape[2]);
    if (source >= p->in_shape[0]) continue;
    const int8_t *from =
        input + nb_ring_place(p->in, source) * (uint32_t)p->in_shape[1] * p->in_shape[2];
    target += (uint32_t)p->before[1] * p->out_shape[2] + p->before[2];
    for (uint32_t x = 0; x < p->in_shape[1]; x++) {
      memcpy(target, from, p->in_shape[2]);
      target += p->out_shape[2];
      from += p->in_shape[2];
    }
  }
}
