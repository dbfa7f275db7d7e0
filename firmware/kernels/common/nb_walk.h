// SPDX-License-Identifier: Apache-2.0
/* How kernels go over maps element by element: through rings, and over pieces of every pixel.
 *
 * Inlined, so that each kernel's own function is called directly; `op` is its first argument. */
#ifndef NB_WALK_H
#define NB_WALK_H

#include "nb_arithmetic.h"

typedef void nb_two_to_one(const void *op, uint32_t count, const int8_t *input0,
                           const int8_t *input1, int8_t *output);

/* Rows first..last - 1 of two maps of one shape, `row` elements each: as many at once as follow one
 * another in all rings. */
static inline __attribute__((always_inline)) void nb_walk_two(const nb_layer *layer,
                                                              nb_two_to_one *function,
                                                              const void *op, const nb_ring in[2],
                                                              nb_ring out, uint32_t row,
                                                              uint32_t first, uint32_t last) {
  for (uint32_t y = first, run; y < last; y += run) {
    run = nb_ring_run(in[0], y, last);
    run = nb_ring_run(in[1], y, y + run);
    run = nb_ring_run(out, y, y + run);
    function(op, run * row, layer->input + nb_ring_place(in[0], y) * row,
             layer->second + nb_ring_place(in[1], y) * row,
             layer->output + nb_ring_place(out, y) * row);
  }
}

/* The same, pixel by pixel, where the output is a piece of every pixel. */
static inline __attribute__((always_inline)) void nb_walk_two_pixels(
    const nb_layer *layer, nb_two_to_one *function, const void *op, nb_pixels pixels,
    const nb_ring in[2], nb_ring out, uint32_t row, uint32_t first, uint32_t last) {
  const uint32_t width = row / pixels.channels;
  for (uint32_t y = first; y < last; y++) {
    const int8_t *input0 = layer->input + nb_ring_place(in[0], y) * row;
    const int8_t *input1 = layer->second + nb_ring_place(in[1], y) * row;
    int8_t *output = layer->output + nb_ring_place(out, y) * width * pixels.pitch;
    for (uint32_t x = 0; x < width; x++, output += pixels.pitch) {
      function(op, pixels.channels, input0, input1, output);
      input0 += pixels.channels;
      input1 += pixels.channels;
    }
  }
}

#endif
