/* Average pooling; padding does not count. */
#include "nb_pool_window.h"

static int32_t average(const nb_pool_params *p, const int8_t *input, nb_pool_window w) {
  const int32_t count = (int32_t)((w.bottom - w.top) * (w.right - w.left));
  int32_t sum = 0;
  for (uint32_t y = w.top; y < w.bottom; y++) {
    for (uint32_t x = w.left; x < w.right; x++) sum += input[(nb_ring_place(p->in, y) * p->in_w + x) * p->channels];
  }
  return (sum > 0 ? sum + count / 2 : sum - count / 2) / count;
}

void nb_average_pool_s8(const nb_layer *layer, uint32_t first, uint32_t last) {
  const nb_pool_params *p = layer->params;
  const int8_t *input = layer->input;
  int8_t *output = layer->output;
  for (uint32_t y = first; y < last; y++) {
    int8_t *target = output + nb_ring_place(p->out, y) * p->out_w * p->channels;
    for (uint32_t x = 0; x < p->out_w; x++) {
      const nb_pool_window window = nb_pool_window_at(p, y, x);
      for (uint32_t c = 0; c < p->channels; c++) {
        *target++ = (int8_t)nb_clamp(average(p, input + c, window), p->minimum, p->maximum);
      }
    }
  }
}
