// SPDX-License-Identifier: Apache-2.0
/* Addition of two tensors with different scales, brought to a common one at 20 more bits. */
#include "nb_parts.h"
#include "nb_sum.h"
#include "nb_walk.h"

static int8_t add_one(const nb_add_params *p, int32_t value0, int32_t value1) {
  const int32_t a = (value0 - p->zero_point[0]) * (1 << NB_SUM_LEFT_SHIFT);
  const int32_t b = (value1 - p->zero_point[1]) * (1 << NB_SUM_LEFT_SHIFT);
  const int32_t sum =
      nb_multiply(a, p->multiplier[0], p->shift[0]) + nb_multiply(b, p->multiplier[1], p->shift[1]);
  const int32_t value = nb_multiply(sum, p->multiplier[2], p->shift[2]) + p->zero_point[2];
  return (int8_t)nb_clamp(value, p->minimum, p->maximum);
}

static void add(const void *op, uint32_t elements, const int8_t *input0, const int8_t *input1,
                int8_t *output) {
  const nb_add_params *p = op;
  uint32_t i = nb_add_part(p, elements, input0, input1, output);
  for (; i < elements; i++) output[i] = add_one(p, input0[i], input1[i]);
}

void nb_add_s8(const nb_layer *layer, uint32_t first, uint32_t last) {
  const nb_add_params *p = layer->params;
  nb_walk_two(layer, add, p, p->in, p->out, p->row, first, last);
}

void nb_add_pixels_s8(const nb_layer *layer, uint32_t first, uint32_t last) {
  const nb_add_pixels_params *pixels = layer->params;
  const nb_add_params *p = &pixels->whole;
  nb_walk_two_pixels(layer, add, p, pixels->pixels, p->in, p->out, p->row, first, last);
}
