// SPDX-License-Identifier: Apache-2.0
/* Fully connected layer. */
#include "nb_kernels.h"

#ifdef NB_DSP
#include "nb_gemm_s8.h"

void nb_fully_connected_s8(const nb_layer *layer, uint32_t first, uint32_t last) {
  const nb_fully_connected_params *p = layer->params;
  const int8_t *input = layer->input;
  int8_t *output = layer->output;
  (void)first, (void)last;
  for (uint32_t item = 0; item < p->batch; item++, input += p->in_c, output += p->out_c) {
    nb_gemm_1_pixel(p->gemm, p->weights, &p->requantization, input, p->in_c, layer->scratch,
                    output);
  }
}

#endif
