// SPDX-License-Identifier: Apache-2.0
/* Sum or difference of two tensors, each with a factor: one shift and one saturation. */
#include "nb_parts.h"
#include "nb_walk.h"

static void add_up(const void *op, uint32_t count, const int8_t *a, const int8_t *b,
                   int8_t *output) {
  const nb_weighted_sum_params *p = op;
  nb_weighted_sum_part(p, &count, &a, &b, &output);
  for (; count != 0; count--) {
    const uint32_t whole = (uint32_t)p->offset + (uint32_t)*a++ * (uint32_t)p->factor[0] +
                           (uint32_t)*b++ * (uint32_t)p->factor[1];
    *output++ = (int8_t)nb_clamp((int32_t)whole >> NB_WEIGHTED_SUM_SHIFT, -128, 127);
  }
}

void nb_weighted_sum_s8(const nb_layer *layer, uint32_t first, uint32_t last) {
  const nb_weighted_sum_params *p = layer->params;
  nb_walk_two(layer, add_up, p, p->in, p->out, p->row, first, last);
}

void nb_weighted_sum_pixels_s8(const nb_layer *layer, uint32_t first, uint32_t last) {
  const nb_weighted_sum_pixels_params *pixels = layer->params;
  const nb_weighted_sum_params *p = &pixels->whole;
  nb_walk_two_pixels(layer, add_up, p, pixels->pixels, p->in, p->out, p->row, first, last);
}
