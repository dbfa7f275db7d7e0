// SPDX-License-Identifier: Apache-2.0
/* Products of runs of elements, for MUL. */
#include "nb_arithmetic.h"

void nb_mul_elements_s8(const nb_elementwise *op, uint32_t count, const int8_t *input0,
                        uint32_t step0, const int8_t *input1, uint32_t step1, int8_t *output) {
  for (; count != 0; count--, input0 += step0, input1 += step1) {
    const int32_t product = (*input0 - op->zero_point[0]) * (*input1 - op->zero_point[1]);
    const int32_t value = nb_multiply(product, op->multiplier[2], op->shift[2]);
    *output++ = (int8_t)nb_clamp(value + op->zero_point[2], op->minimum, op->maximum);
  }
}
