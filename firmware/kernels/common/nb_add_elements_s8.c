// SPDX-License-Identifier: Apache-2.0
/* Sums of runs of elements, for ADD with broadcasting; nb_add_s8 adds two tensors of one shape. */
#include "nb_sum.h"

void nb_add_elements_s8(const nb_elementwise *op, uint32_t count, const int8_t *input0,
                        uint32_t step0, const int8_t *input1, uint32_t step1, int8_t *output) {
  for (; count != 0; count--, input0 += step0, input1 += step1) {
    const int32_t sum = nb_sum_operand(op, 0, *input0) + nb_sum_operand(op, 1, *input1);
    *output++ = nb_sum_result(op, sum);
  }
}
