// SPDX-License-Identifier: Apache-2.0
/* Average pooling; padding does not count. */
#include "nb_parts.h"

#define LANES 4u /* channels at a time */

/* Sums of `count` channels over a window. */
static inline void add_up(const nb_pool_params *p, const int8_t *input, nb_pool_window w,
                          uint32_t count, int32_t sums[LANES]) {
  const uint32_t columns = w.right - w.left;
  sums[0] = sums[1] = sums[2] = sums[3] = 0;
  for (uint32_t y = w.top; y < w.bottom; y++) {
    const int8_t *value = input + (nb_ring_place(p->in, y) * p->in_w + w.left) * p->channels;
    if (nb_sum_part(sums, count, value, columns, p->channels) != 0) continue;
    for (uint32_t x = 0; x < columns; x++, value += p->channels) {
      for (uint32_t i = 0; i < count; i++) sums[i] += value[i];
    }
  }
}

void nb_average_pool_s8(const nb_layer *layer, uint32_t first, uint32_t last) {
  const nb_pool_params *p = layer->params;
  const int8_t *input = layer->input;
  for (uint32_t y = first; y < last; y++) {
    int8_t *target = layer->output + nb_ring_place(p->out, y) * p->out_w * p->pitch;
    for (uint32_t x = 0; x < p->out_w; x++, target += p->pitch) {
      const nb_pool_window w = nb_pool_window_at(p, y, x);
      const int32_t pixels = (int32_t)((w.bottom - w.top) * (w.right - w.left));
      for (uint32_t c = 0; c < p->channels; c += LANES) {
        const uint32_t count = p->channels - c < LANES ? p->channels - c : LANES;
        int32_t sums[LANES];
        add_up(p, input + c, w, count, sums);
        for (uint32_t i = 0; i < count; i++) {
          const int32_t half = sums[i] > 0 ? pixels / 2 : -(pixels / 2);
          target[c + i] = (int8_t)nb_clamp((sums[i] + half) / pixels, p->minimum, p->maximum);
        }
      }
    }
  }
}
