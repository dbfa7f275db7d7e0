// SPDX-License-Identifier: Apache-2.0
/* The rounding of the reference, in portable C. Shared by the kernels, not a public header. */
#ifndef NB_ARITHMETIC_H
#define NB_ARITHMETIC_H

#include <stdint.h>
#include <string.h>

#include "nb_kernels.h"

/* Sums wrap as the accumulators of the reference do on every real machine. */
static inline int32_t nb_add_wrap(int32_t a, int32_t b) {
  return (int32_t)((uint32_t)a + (uint32_t)b);
}

static inline int32_t nb_clamp(int32_t value, int32_t minimum, int32_t maximum) {
  return value < minimum ? minimum : value > maximum ? maximum : value;
}

/* (a * b * 2) >> 32, rounded to nearest. b is never INT32_MIN, so it cannot saturate. */
static inline int32_t nb_doubling_high_mul(int32_t a, int32_t b) {
  return (int32_t)(((int64_t)a * b + (1 << 30)) >> 31);
}

/* x / 2**exponent, exponent 0..31, rounded to nearest, ties away from zero. */
static inline int32_t nb_rounding_divide_by_pot(int32_t x, int32_t exponent) {
  const int32_t mask = (int32_t)((1u << exponent) - 1u);
  const int32_t threshold = (mask >> 1) + (x < 0);
  return (x >> exponent) + ((x & mask) > threshold);
}

/* x * multiplier / 2**(31 + shift), shift -30..31. */
static inline int32_t nb_multiply(int32_t x, int32_t multiplier, int32_t shift) {
  if (shift < 0) {
    x = (int32_t)((uint32_t)x << -shift);
    shift = 0;
  }
  return nb_rounding_divide_by_pot(nb_doubling_high_mul(x, multiplier), shift);
}

/* Words a channel of r->channels. */
static inline uint32_t nb_channel_words(const nb_requantization *r) {
  return r->fast ? 2 : 3;
}

/* An output from the sum of products: bias, requantization, clamp. */
static inline int8_t nb_requantize(const nb_requantization *r, uint32_t channel, int32_t sum) {
  const int32_t *own = r->channels + channel * nb_channel_words(r);
  const int32_t bias = r->fast ? own[0] >> 6 : own[0];
  const int32_t shift = r->fast ? own[0] & 31 : own[2];
  const int32_t multiplier = (int32_t)((uint32_t)own[1] >> 1);
  const int32_t scaled = nb_multiply(nb_add_wrap(sum, bias), multiplier, shift);
  return (int8_t)nb_clamp(nb_add_wrap(scaled, r->zero_point), r->minimum, r->maximum);
}

/* Where row y of a map lies in its ring. */
static inline uint32_t nb_ring_place(nb_ring ring, uint32_t y) {
  return (y + ring.shift) % ring.rows;
}

/* How many of the rows y..last - 1 follow one another in the ring. */
static inline uint32_t nb_ring_run(nb_ring ring, uint32_t y, uint32_t last) {
  const uint32_t left = ring.rows - nb_ring_place(ring, y);
  return left < last - y ? left : last - y;
}

/* Four bytes at any address. */
static inline uint32_t nb_load_word(const void *from) {
  uint32_t word;
  __builtin_memcpy(&word, from, sizeof word); /* one load, even in a freestanding build */
  return word;
}

static inline void nb_store_word(void *to, uint32_t word) {
  __builtin_memcpy(to, &word, sizeof word);
}

#endif
