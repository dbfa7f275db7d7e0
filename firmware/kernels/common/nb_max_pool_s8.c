// SPDX-License-Identifier: Apache-2.0
/* Maximum pooling; padding does not count. */
#include "nb_parts.h"

void nb_max_pool_s8(const nb_layer *layer, uint32_t first, uint32_t last) {
  const nb_pool_params *p = layer->params;
  const int8_t *input = layer->input;
  int8_t *output = layer->output;
  for (uint32_t y = first; y < last; y++) {
    int8_t *target = output + nb_ring_place(p->out, y) * p->out_w * p->pitch;
    for (uint32_t x = 0; x < p->out_w; x++, target += p->pitch) {
      const nb_pool_window window = nb_pool_window_at(p, y, x);
      nb_max_pool_pixel(p, input, window, target);
    }
  }
}
