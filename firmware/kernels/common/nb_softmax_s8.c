// SPDX-License-Identifier: Apache-2.0
/* Softmax over the last axis, in fixed point. */
#include "nb_arithmetic.h"

#define SUM_INTEGER_BITS 12

static int32_t saturating_left_shift(int32_t x, int32_t amount) {
  const int32_t limit = (int32_t)((1u << (31 - amount)) - 1u);
  if (x > limit) return INT32_MAX;
  if (x < -limit) return INT32_MIN;
  return (int32_t)((uint32_t)x << amount);
}

/* 1 / (1 + a), a in [0, 1), both Q0.31: Newton's method on the half denominator. */
static int32_t one_over_one_plus(int32_t a) {
  const int32_t half_denominator = (int32_t)(((int64_t)a + INT32_MAX + 1) / 2);
  int32_t x = 1515870810 + nb_doubling_high_mul(half_denominator, -1010580540); /* Q2.29 */
  for (int i = 0; i < 3; i++) {
    const int32_t rest = (1 << 29) - nb_doubling_high_mul(half_denominator, x);
    x += saturating_left_shift(nb_doubling_high_mul(x, rest), 2);
  }
  return saturating_left_shift(x, 1);
}

static int32_t leading_zeros(uint32_t x) {
  int32_t count = 0;
  while (x < 0x80000000u) {
    x <<= 1;
    count++;
  }
  return count;
}

void nb_softmax_s8(const nb_layer *layer, uint32_t first, uint32_t last) {
  const nb_softmax_params *p = layer->params;
  const int8_t *input = layer->input;
  int8_t *output = layer->output;
  (void)first, (void)last;
  for (uint32_t row = 0; row < p->rows; row++) {
    int32_t maximum = -128;
    int32_t sum = 0; /* Q12.19 */
    for (uint32_t i = 0; i < p->depth; i++) {
      if (input[i] > maximum) maximum = input[i];
    }
    for (uint32_t i = 0; i < p->depth; i++) {
      sum += nb_rounding_divide_by_pot(p->exponentials[maximum - input[i]], SUM_INTEGER_BITS);
    }
    /* sum is at least 1.0: the maximum itself is in it. */
    const int32_t headroom = leading_zeros((uint32_t)sum);
    const int32_t scale = one_over_one_plus((int32_t)(((uint32_t)sum << headroom) - 0x80000000u));
    const int32_t exponent = SUM_INTEGER_BITS - headroom + 31 - 8;
    for (uint32_t i = 0; i < p->depth; i++) {
      const int32_t share = nb_doubling_high_mul(scale, p->exponentials[maximum - input[i]]);
      const int32_t value = nb_rounding_divide_by_pot(share, exponent) - 128;
      output[i] = (int8_t)nb_clamp(value, -128, 127);
    }
    input += p->depth;
    output += p->depth;
  }
}
