// SPDX-License-Identifier: Apache-2.0
/* Elements in another order, or some of them, for TRANSPOSE and STRIDED_SLICE. */
#include "nb_arithmetic.h"

#define AXES 6

void nb_gather_s8(const nb_layer *layer, uint32_t first, uint32_t last) {
  const nb_gather_params *p = layer->params;
  const int8_t *input = layer->input;
  int8_t *output = layer->output;
  (void)first, (void)last;
  const uint32_t count = p->shape[AXES - 1];
  const int32_t inner = p->step[AXES - 1];
  uint32_t index[AXES - 1] = {0};
  for (;;) {
    int32_t from = (int32_t)p->start;
    for (uint32_t axis = 0; axis < AXES - 1; axis++) from += (int32_t)index[axis] * p->step[axis];
    if (inner == 1) {
      memcpy(output, input + from, count);
      output += count;
    } else {
      for (uint32_t i = 0; i < count; i++, from += inner) *output++ = input[from];
    }
    uint32_t axis = AXES - 1;
    while (axis != 0 && ++index[axis - 1] == p->shape[axis - 1]) index[--axis] = 0;
    if (axis == 0) return;
  }
}
