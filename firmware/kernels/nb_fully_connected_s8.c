/* Fully connected layer. */
#include "nb_gemm_s8.h"

void nb_fully_connected_s8(const nb_fully_connected_params *p, const int8_t *input, int8_t *output,
                           void *scratch) {
  for (uint32_t item = 0; item < p->batch; item++, input += p->in_c, output += p->out_c) {
#ifdef NB_DSP
    nb_gemm_1_pixel(p->weights, &p->requantization, input, p->in_c, p->out_c, scratch, output);
#else
    (void)scratch;
    const uint32_t row = (p->in_c + 3u) & ~3u;
    const int8_t *weights = p->weights;
    for (uint32_t channel = 0; channel < p->out_c; channel++, weights += row) {
      int32_t sum = 0;
      for (uint32_t k = 0; k < p->in_c; k++) sum += input[k] * weights[k];
      sum = nb_add_wrap(sum, p->requantization.bias_multiplier[2 * channel]);
      output[channel] = nb_requantize(&p->requantization, channel, sum);
    }
#endif
  }
}
