/* Inputs one behind the other along an axis. */
#include "nb_arithmetic.h"

void nb_concatenation_s8(const nb_concatenation_params *p, const int8_t *const inputs[],
                         int8_t *output) {
  for (uint32_t block = 0; block < p->blocks; block++) {
    for (uint32_t i = 0; i < p->inputs; i++) {
      const uint32_t run = p->runs[i];
      memcpy(output, inputs[i] + block * run, run);
      output += run;
    }
  }
}
