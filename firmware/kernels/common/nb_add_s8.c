// SPDX-License-Identifier: Apache-2.0
/* Addition of two tensors with different scales, brought to a common one at 20 more bits. */
#include "nb_clamp_s8.h"
#include "nb_dsp.h"
#include "nb_walk.h"

#define LEFT_SHIFT 20

static int8_t add_one(const nb_add_params *p, int32_t value0, int32_t value1) {
  const int32_t a = (value0 - p->zero_point[0]) * (1 << LEFT_SHIFT);
  const int32_t b = (value1 - p->zero_point[1]) * (1 << LEFT_SHIFT);
  const int32_t sum =
      nb_multiply(a, p->multiplier[0], p->shift[0]) + nb_multiply(b, p->multiplier[1], p->shift[1]);
  const int32_t value = nb_multiply(sum, p->multiplier[2], p->shift[2]) + p->zero_point[2];
  return (int8_t)nb_clamp(value, p->minimum, p->maximum);
}

#ifdef NB_DSP

#define NORMALIZED (1 << 30) /* the smallest multiplier that nb_requantize_fast takes */

/* Constants of the fast path: the input with the larger scale ("plain") is scaled by exactly 1/2,
 * which needs no multiplication; the other is multiplied and shifted by at least 1. */
typedef struct {
  int32_t plain_offset, offset, twice_multiplier, half, shift;
  int32_t out_twice_multiplier, out_round, out_shift;
} add_constants;

/* Inlined at -Os, too: four times in the loop that all depends on. */
static inline __attribute__((always_inline)) uint32_t add_fast(const add_constants *c,
                                                               int32_t plain, int32_t other) {
  int32_t value = (int32_t)((uint32_t)other << LEFT_SHIFT) + c->offset;
  value = nb_smmlar(value, c->twice_multiplier, value);
  value += value >> 31;
  value = (value + c->half) >> c->shift;
  value += (int32_t)((uint32_t)plain << (LEFT_SHIFT - 1));
  value += c->plain_offset;
  return (uint8_t)nb_requantize_fast(value, c->out_twice_multiplier, c->out_round, c->out_shift);
}

/* How many elements the fast path has done: whole words, or none where it is not exact. */
static uint32_t fast_part(const nb_add_params *p, uint32_t elements, const int8_t *input0,
                          const int8_t *input1, int8_t *output) {
  const uint32_t plain = p->shift[0] == 0 && p->multiplier[0] == NORMALIZED ? 0 : 1;
  const uint32_t other = 1 - plain;
  if (p->shift[plain] != 0 || p->multiplier[plain] != NORMALIZED) return 0;
  if (p->shift[other] == 0 || p->multiplier[other] < NORMALIZED) return 0;
  if (p->shift[2] == 0 || p->shift[2] > 22 || p->multiplier[2] < NORMALIZED) return 0;
  const add_constants c = {-p->zero_point[plain] * (1 << (LEFT_SHIFT - 1)),
                           -p->zero_point[other] * (1 << LEFT_SHIFT),
                           (int32_t)(2u * (uint32_t)p->multiplier[other]),
                           1 << (p->shift[other] - 1),
                           p->shift[other],
                           (int32_t)(2u * (uint32_t)p->multiplier[2]),
                           (2 * p->zero_point[2] + 1) * (1 << p->shift[2]),
                           p->shift[2]};
  const int8_t *a = plain == 0 ? input0 : input1;
  const int8_t *b = plain == 0 ? input1 : input0;
  const uint32_t done = elements & ~3u;
  for (uint32_t i = 0; i < done; i += 4) {
    const uint32_t x = nb_load_word(a + i);
    const uint32_t y = nb_load_word(b + i);
    uint32_t word = add_fast(&c, (int8_t)x, (int8_t)y);
    word |= add_fast(&c, (int8_t)(x >> 8), (int8_t)(y >> 8)) << 8;
    word |= add_fast(&c, (int8_t)(x >> 16), (int8_t)(y >> 16)) << 16;
    word |= add_fast(&c, (int8_t)(x >> 24), (int8_t)(y >> 24)) << 24;
    nb_store_word(output + i, word);
  }
  nb_clamp_s8(p->minimum, p->maximum, output, done);
  return done;
}

#endif

static void add(const void *op, uint32_t elements, const int8_t *input0, const int8_t *input1,
                int8_t *output) {
  const nb_add_params *p = op;
  uint32_t i = 0;
#ifdef NB_DSP
  i = fast_part(p, elements, input0, input1, output);
#endif
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
