// SPDX-License-Identifier: Apache-2.0
/* See nb_parts.h: with the instructions of the DSP extension. */
#ifndef NB_PARTS_V7EM_H
#define NB_PARTS_V7EM_H

#include "nb_clamp_s8.h"
#include "nb_dsp.h"
#include "nb_pool_window.h"
#include "nb_sum.h"

#define NB_PLANE_SHIFT 8

static inline __attribute__((always_inline)) int8_t *nb_copy_bytes(int8_t *to, const int8_t *from,
                                                                   uint32_t count) {
  uint32_t word;
  __asm__ volatile(
      "subs %2, #4\n"
      "blt 2f\n"
      "1:\n"
      "ldr %3, [%1], #4\n"
      "str %3, [%0], #4\n"
      "subs %2, #4\n"
      "bge 1b\n"
      "2:\n"
      "lsls %2, #31\n" /* carry: two bytes are left; minus: one */
      "bcc 3f\n"
      "ldrh %3, [%1], #2\n"
      "strh %3, [%0], #2\n"
      "3:\n"
      "bpl 4f\n"
      "ldrb %3, [%1], #1\n"
      "strb %3, [%0], #1\n"
      "4:\n"
      : "+r"(to), "+r"(from), "+r"(count), "=&r"(word)
      :
      : "cc", "memory");
  return to;
}

static inline __attribute__((always_inline)) uint32_t nb_sum_part(int32_t sums[4],
                                                                  uint32_t channels,
                                                                  const int8_t *bytes,
                                                                  uint32_t count, uint32_t stride) {
  if (channels >= 4) {
    nb_add_bytes(sums, bytes, count, stride);
    return 4;
  }
  return 0;
}

/* Of four channels. */
static inline uint32_t nb_largest_word(const nb_pool_params *p, const int8_t *input,
                                       nb_pool_window w) {
  uint32_t found = 0x80808080u;
  for (uint32_t y = w.top; y < w.bottom; y++) {
    const int8_t *row = input + nb_ring_place(p->in, y) * p->in_w * p->channels;
    for (uint32_t x = w.left; x < w.right; x++) {
      found = nb_larger_bytes(found, nb_load_word(row + x * p->channels));
    }
  }
  const uint32_t low = (uint8_t)p->minimum * 0x01010101u;
  const uint32_t high = (uint8_t)p->maximum * 0x01010101u;
  return nb_smaller_bytes(nb_larger_bytes(found, low), high);
}

static inline __attribute__((always_inline)) void nb_max_pool_pixel(const nb_pool_params *p,
                                                                    const int8_t *input,
                                                                    nb_pool_window window,
                                                                    int8_t *target) {
  if (p->channels >= 4) {
    for (uint32_t c = 0; c < p->channels; c += 4) {
      if (c > p->channels - 4u) c = p->channels - 4u; /* some are computed again */
      nb_store_word(target + c, nb_largest_word(p, input + c, window));
    }
    return;
  }
  nb_max_pool_channels(p, input, window, target);
}

#define NB_NORMALIZED (1 << 30) /* the smallest multiplier that nb_requantize_fast takes */

/* Constants of the fast path: the input with the larger scale ("plain") is scaled by exactly 1/2,
 * which needs no multiplication; the other is multiplied and shifted by at least 1. */
typedef struct {
  int32_t plain_offset, offset, twice_multiplier, half, shift;
  int32_t out_twice_multiplier, out_round, out_shift;
} nb_add_constants;

/* Inlined at -Os, too: four times in the loop that all depends on. */
static inline __attribute__((always_inline)) uint32_t nb_add_fast(const nb_add_constants *c,
                                                                  int32_t plain, int32_t other) {
  int32_t value = (int32_t)((uint32_t)other << NB_SUM_LEFT_SHIFT) + c->offset;
  value = nb_smmlar(value, c->twice_multiplier, value);
  value += value >> 31;
  value = (value + c->half) >> c->shift;
  value += (int32_t)((uint32_t)plain << (NB_SUM_LEFT_SHIFT - 1));
  value += c->plain_offset;
  return (uint8_t)nb_requantize_fast(value, c->out_twice_multiplier, c->out_round, c->out_shift);
}

/* Whole words, or none where it is not exact. */
static inline uint32_t nb_add_part(const nb_add_params *p, uint32_t elements, const int8_t *input0,
                                   const int8_t *input1, int8_t *output) {
  const uint32_t plain = p->shift[0] == 0 && p->multiplier[0] == NB_NORMALIZED ? 0 : 1;
  const uint32_t other = 1 - plain;
  if (p->shift[plain] != 0 || p->multiplier[plain] != NB_NORMALIZED) return 0;
  if (p->shift[other] == 0 || p->multiplier[other] < NB_NORMALIZED) return 0;
  if (p->shift[2] == 0 || p->shift[2] > 22 || p->multiplier[2] < NB_NORMALIZED) return 0;
  const nb_add_constants c = {-p->zero_point[plain] * (1 << (NB_SUM_LEFT_SHIFT - 1)),
                              -p->zero_point[other] * (1 << NB_SUM_LEFT_SHIFT),
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
    uint32_t word = nb_add_fast(&c, (int8_t)x, (int8_t)y);
    word |= nb_add_fast(&c, (int8_t)(x >> 8), (int8_t)(y >> 8)) << 8;
    word |= nb_add_fast(&c, (int8_t)(x >> 16), (int8_t)(y >> 16)) << 16;
    word |= nb_add_fast(&c, (int8_t)(x >> 24), (int8_t)(y >> 24)) << 24;
    nb_store_word(output + i, word);
  }
  nb_clamp_s8(p->minimum, p->maximum, output, done);
  return done;
}

/* One element. */
#define NB_WEIGHTED_SUM_ONE \
  "ldrsb %[sum], [%[a]], #1\n"     \
  "ldrsb %[value], [%[b]], #1\n"   \
  "mla %[sum], %[sum], %[factor0], %[offset]\n" \
  "mla %[sum], %[value], %[factor1], %[sum]\n"  \
  "ssat %[sum], #8, %[sum], asr #" NB_TEXT(NB_WEIGHTED_SUM_SHIFT) "\n" \
  "strb %[sum], [%[output]], #1\n"

static inline __attribute__((always_inline)) void nb_weighted_sum_part(
    const nb_weighted_sum_params *p, uint32_t *count, const int8_t **a, const int8_t **b,
    int8_t **output) {
  uint32_t sum, value, fours = *count >> 2;
  *count &= 3;
  if (fours != 0) {
    __asm__ volatile(
        "1:\n" NB_WEIGHTED_SUM_ONE NB_WEIGHTED_SUM_ONE NB_WEIGHTED_SUM_ONE NB_WEIGHTED_SUM_ONE
        "subs %[fours], #1\n"
        "bne 1b\n"
        : [sum] "=&r"(sum), [value] "=&r"(value), [fours] "+&r"(fours), [a] "+&r"(*a),
          [b] "+&r"(*b), [output] "+&r"(*output)
        : [factor0] "r"(p->factor[0]), [factor1] "r"(p->factor[1]), [offset] "r"(p->offset)
        : "cc", "memory");
  }
}

#endif
