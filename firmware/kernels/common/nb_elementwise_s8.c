// SPDX-License-Identifier: Apache-2.0
/* Walks over two operands of one shape, or over one and a constant, for ADD, SUB and MUL. */
#include "nb_walk.h"

static void calculate(const void *op, uint32_t count, const int8_t *input0, const int8_t *input1,
                      int8_t *output) {
  const nb_elementwise *own = op;
  own->function(own, count, input0, 1, input1, 1, output);
}

void nb_elementwise_s8(const nb_layer *layer, uint32_t first, uint32_t last) {
  const nb_elementwise_params *p = layer->params;
  nb_walk_two(layer, calculate, &p->op, p->in, p->out, p->row, first, last);
}

void nb_elementwise_pixels_s8(const nb_layer *layer, uint32_t first, uint32_t last) {
  const nb_elementwise_pixels_params *pixels = layer->params;
  const nb_elementwise_params *p = &pixels->whole;
  nb_walk_two_pixels(layer, calculate, &p->op, pixels->pixels, p->in, p->out, p->row, first, last);
}

/* One run along the innermost axis. */
static void run_with(const nb_elementwise_constant_params *p, const int8_t *constant,
                     const int8_t *input, int8_t *output) {
  const uint32_t count = p->shape[4], step = p->step[4];
  if (p->position == 0) {
    p->op.function(&p->op, count, constant, step, input, 1, output);
  } else {
    p->op.function(&p->op, count, input, 1, constant, step, output);
  }
}

void nb_elementwise_constant_s8(const nb_layer *layer, uint32_t first, uint32_t last) {
  const nb_elementwise_constant_params *p = layer->params;
  const int8_t *input = layer->input;
  int8_t *output = layer->output;
  const uint32_t *n = p->shape, *s = p->step;
  const uint32_t row = n[0] * n[1] * n[2] * n[3] * n[4];
  for (uint32_t y = first; y < last; y++) {
    const int8_t *constant = p->constant + y * p->row_step;
    const int8_t *from = input + nb_ring_place(p->in, y) * row;
    int8_t *to = output + nb_ring_place(p->out, y) * row;
    for (uint32_t a = 0; a < n[0]; a++) {
      for (uint32_t b = 0; b < n[1]; b++) {
        for (uint32_t c = 0; c < n[2]; c++) {
          for (uint32_t d = 0; d < n[3]; d++, from += n[4], to += n[4]) {
            run_with(p, constant + a * s[0] + b * s[1] + c * s[2] + d * s[3], from, to);
          }
        }
      }
    }
  }
}
