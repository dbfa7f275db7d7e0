// SPDX-License-Identifier: Apache-2.0
/* Every output pixel lies between four of the input's, at a place found at compile time. */
#include "nb_arithmetic.h"

#define ONE 1024 /* a whole step between two input pixels */

/* value / 2**20, rounded to nearest, ties away from zero. */
static int8_t rounded(int32_t value) {
  return (int8_t)((value + (value > 0 ? 1 << 19 : -(1 << 19))) / (1 << 20));
}

void nb_resize_bilinear_s8(const nb_layer *layer, uint32_t first, uint32_t last) {
  const nb_resize_bilinear_params *p = layer->params;
  const int8_t *input = layer->input;
  int8_t *output = layer->output;
  (void)first, (void)last;
  const uint32_t row = (uint32_t)p->in_w * p->channels;
  for (uint32_t y = 0; y < p->out_h; y++) {
    const int8_t *above = input + p->lower[y] * row;
    const int8_t *below = input + p->upper[y] * row;
    const int32_t down = p->fraction[y];
    for (uint32_t x = 0; x < p->out_w; x++, output += p->pitch) {
      const uint32_t left = (uint32_t)p->lower[p->out_h + x] * p->channels;
      const uint32_t right = (uint32_t)p->upper[p->out_h + x] * p->channels;
      const int32_t along = p->fraction[p->out_h + x];
      for (uint32_t c = 0; c < p->channels; c++) {
        const int32_t top = above[left + c] * (ONE - along) + above[right + c] * along;
        const int32_t bottom = below[left + c] * (ONE - along) + below[right + c] * along;
        output[c] = rounded(top * (ONE - down) + bottom * down);
      }
    }
  }
}
