// SPDX-License-Identifier: Apache-2.0
/* Inputs one behind the other along an axis. */
#include "nb_arithmetic.h"

void nb_concatenation_s8(const nb_layer *layer, uint32_t first, uint32_t last) {
  const nb_concatenation_params *p = layer->params;
  const int8_t *const *inputs = layer->inputs;
  int8_t *output = layer->output;
  (void)first, (void)last;
  for (uint32_t block = 0; block < p->blocks; block++, output += p->block) {
    for (uint32_t i = 0; i < p->inputs; i++) {
      const uint32_t run = p->runs[2 * i];
      memcpy(output + p->runs[2 * i + 1], inputs[i] + block * run, run);
    }
  }
}
