// SPDX-License-Identifier: Apache-2.0
/* Walks over two operands of different shapes, for ADD, SUB and MUL. */
#include "nb_arithmetic.h"

#define AXES 6

static uint32_t offset_of(const uint32_t *index, const uint32_t *step) {
  uint32_t offset = 0;
  for (uint32_t axis = 0; axis < AXES - 1; axis++) offset += index[axis] * step[axis];
  return offset;
}

void nb_elementwise_broadcast_s8(const nb_layer *layer, uint32_t first, uint32_t last) {
  const nb_elementwise_broadcast_params *p = layer->params;
  const int8_t *input0 = layer->input;
  const int8_t *input1 = layer->second;
  int8_t *output = layer->output;
  (void)first, (void)last;
  const uint32_t count = p->shape[AXES - 1];
  uint32_t index[AXES - 1] = {0};
  for (;;) {
    p->op.function(&p->op, count, input0 + offset_of(index, p->step[0]), p->step[0][AXES - 1],
                   input1 + offset_of(index, p->step[1]), p->step[1][AXES - 1], output);
    output += count;
    uint32_t axis = AXES - 1;
    while (axis != 0 && ++index[axis - 1] == p->shape[axis - 1]) index[--axis] = 0;
    if (axis == 0) return;
  }
}
