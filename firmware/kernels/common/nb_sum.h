// SPDX-License-Identifier: Apache-2.0
/* Sums and differences of values with different scales, brought to a common one at 20 more bits.
 * Shared by the kernels, not a public header. */
#ifndef NB_SUM_H
#define NB_SUM_H

#include "nb_arithmetic.h"

#define NB_SUM_LEFT_SHIFT 20

/* At most 255 * 2**20 / 2 in size, so that two of them fit 32 bits. */
static inline int32_t nb_sum_operand(const nb_elementwise *op, uint32_t which, int32_t value) {
  const int32_t fine = (value - op->zero_point[which]) * (1 << NB_SUM_LEFT_SHIFT);
  return nb_rounding_divide_by_pot(nb_doubling_high_mul(fine, op->multiplier[which]),
                                   op->shift[which]);
}

static inline int8_t nb_sum_result(const nb_elementwise *op, int32_t sum) {
  const int32_t value =
      nb_rounding_divide_by_pot(nb_doubling_high_mul(sum, op->multiplier[2]), op->shift[2]);
  return (int8_t)nb_clamp(value + op->zero_point[2], op->minimum, op->maximum);
}

#endif
