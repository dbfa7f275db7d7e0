/* Maximum pooling; padding does not count. */
#include "nb_pool_window.h"

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
    int8_t *target = output + nb_ring_place(p->out, y) * p->out_w * p->channels;
    for (uint32_t x = 0; x < p->out_w; x++) {
      const nb_pool_window window = nb_pool_window_at(p, y, x);
      for (uint32_t c = 0; c < p->channels; c++) {
        *target++ = (int8_t)nb_clamp(largest(p, input + c, window), p->minimum, p->maximum);
      }
    }
  }
}
