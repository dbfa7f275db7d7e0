/* Mean over height and width. */
#include "nb_arithmetic.h"

void nb_mean_s8(const nb_layer *layer, uint32_t first, uint32_t last) {
  const nb_mean_params *p = layer->params;
  const int8_t *input = layer->input;
  int8_t *output = layer->output;
  (void)first, (void)last;
  for (uint32_t channel = 0; channel < p->channels; channel++) {
    const int8_t *value = input + channel;
    int32_t sum = p->offset;
    for (uint32_t pixel = 0; pixel < p->pixels; pixel++, value += p->channels) sum += *value;
    sum = nb_multiply(sum, p->multiplier, p->shift);
    output[channel] = (int8_t)nb_clamp(sum + p->zero_point, -128, 127);
  }
}
