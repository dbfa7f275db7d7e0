// SPDX-License-Identifier: Apache-2.0
/* Maximum pooling; padding does not count. */
#include "nb_pool_window.h"

#ifdef NB_DSP
/* Of four channels. */
static uint32_t largest_word(const nb_pool_params *p, const int8_t *input, nb_pool_window w) {
  uint32_t found = 0x80808080u;
  for (uint32_t y = w.top; y < w.bottom; y++) {
    const int8_t *row = input + nb_ring_place(p->in, y) * p->in_w * p->channels;
    for (uint32_t x = w.left; x < w.right; x++) {
      found = nb_larger_bytes(found, nb_load_word(row + x * p->channels));
    }
  }
  const uint32_t low = (uint8_t)p->minimum * 0x01010101u;
  const uint32_t high = (uint8_t)p->maximum * 0x01010101u;
  return nb_smaller_bytes(nb_larger_bytes(found, low), high);
}
#endif

static int32_t largest(const nb_pool_params *p, const int8_t *input, nb_pool_window w) {
  int32_t found = -128;
  for (uint32_t y = w.top; y < w.bottom; y++) {
    for (uint32_t x = w.left; x < w.right; x++) {
      const int32_t value = input[(nb_ring_place(p->in, y) * p->in_w + x) * p->channels];
      if (value > found) found = value;
    }
  }
  return found;
}

void nb_max_pool_s8(const nb_layer *layer, uint32_t first, uint32_t last) {
  const nb_pool_params *p = layer->params;
  const int8_t *input = layer->input;
  int8_t *output = layer->output;
  for (uint32_t y = first; y < last; y++) {
    int8_t *target = output + nb_ring_place(p->out, y) * p->out_w * p->pitch;
    for (uint32_t x = 0; x < p->out_w; x++, target += p->pitch) {
      const nb_pool_window window = nb_pool_window_at(p, y, x);
#ifdef NB_DSP
      if (p->channels >= 4) {
        for (uint32_t c = 0; c < p->channels; c += 4) {
          if (c > p->channels - 4u) c = p->channels - 4u; /* some are computed again */
          nb_store_word(target + c, largest_word(p, input + c, window));
        }
        continue;
      }
#endif
      for (uint32_t c = 0; c < p->channels; c++) {
        target[c] = (int8_t)nb_clamp(largest(p, input + c, window), p->minimum, p->maximum);
      }
    }
  }
}
