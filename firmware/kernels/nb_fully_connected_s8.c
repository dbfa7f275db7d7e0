/* Fully connected layer. */
#include "nb_gemm_s8.h"

void nb_fully_connected_s8(const nb_fully_connected_params *p, const int8_t *input, int8_t *output,
                           void *scratch) {
#ifdef NB_DSP
  for (uint32_t item = 0; item < p->batch; item++, input += p->in_c, output += p->out_c) {
    nb_gemm_1_pixel(p->weights, &p->requantization, input, p->in_c, p->out_c, scratch, output);
  }
#else
  nb_fully_connected_any_s8(p, input, output, scratch);
#endif
}
