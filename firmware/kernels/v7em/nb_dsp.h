// SPDX-License-Identifier: Apache-2.0
/* Instructions of the ARMv7E-M DSP extension that C has no word for: Cortex-M4, M7, M33, M55. */
#ifndef NB_DSP_H
#define NB_DSP_H

#include "nb_arithmetic.h"

#define NB_TEXT_OF(x) #x
#define NB_TEXT(x) NB_TEXT_OF(x) /* of a macro's value, for assembly */

/* Bytes 1 and 3 as halfwords of 256 times their value. */
#define NB_ODD_BYTES 0xff00ff00u

/* Bytes 0 and 2, sign-extended to halfwords. */
static inline uint32_t nb_sxtb16(uint32_t x) {
  uint32_t result;
  __asm__("sxtb16 %0, %1" : "=r"(result) : "r"(x));
  return result;
}

/* Bytes 1 and 3, sign-extended to halfwords. */
static inline uint32_t nb_sxtb16_high(uint32_t x) {
  uint32_t result;
  __asm__("sxtb16 %0, %1, ror #8" : "=r"(result) : "r"(x));
  return result;
}

/* Adds `count` times, at least once, four bytes to the four sums, `stride` bytes further each time. */
static inline void nb_add_bytes(int32_t sums[4], const int8_t *bytes, uint32_t count,
                                uint32_t stride) {
  /* GCC keeps no array in registers. */
  int32_t a = sums[0], b = sums[1], c = sums[2], d = sums[3];
  do {
    const uint32_t word = nb_load_word(bytes);
    __asm__("sxtab %0, %0, %1" : "+r"(a) : "r"(word));
    __asm__("sxtab %0, %0, %1, ror #8" : "+r"(b) : "r"(word));
    __asm__("sxtab %0, %0, %1, ror #16" : "+r"(c) : "r"(word));
    __asm__("sxtab %0, %0, %1, ror #24" : "+r"(d) : "r"(word));
    bytes += stride;
  } while (--count != 0);
  sums[0] = a, sums[1] = b, sums[2] = c, sums[3] = d;
}

/* Byte by byte, the larger (SSUB8 sets the GE flags for SEL). */
static inline uint32_t nb_larger_bytes(uint32_t a, uint32_t b) {
  uint32_t result;
  __asm__("ssub8 %0, %1, %2\n\tsel %0, %1, %2" : "=&r"(result) : "r"(a), "r"(b) : "cc");
  return result;
}

static inline uint32_t nb_smaller_bytes(uint32_t a, uint32_t b) {
  uint32_t result;
  __asm__("ssub8 %0, %1, %2\n\tsel %0, %2, %1" : "=&r"(result) : "r"(a), "r"(b) : "cc");
  return result;
}

/* sum + high word of (a * b), rounded. */
static inline int32_t nb_smmlar(int32_t a, int32_t b, int32_t sum) {
  int32_t result;
  __asm__("smmlar %0, %1, %2, %3" : "=r"(result) : "r"(a), "r"(b), "r"(sum));
  return result;
}

static inline int32_t nb_ssat8(int32_t x) {
  int32_t result;
  __asm__("ssat %0, #8, %1" : "=r"(result) : "r"(x));
  return result;
}

/* Requantization in five instructions, where nb_requantization.fast allows it.
 *
 * The reference computes round(x * m / 2**31), then rounds away from zero while shifting by s.
 * - x * 2m / 2**32 with 2m in [2**31, 2**32): as a signed word 2m is short of 2**32, so the high
 *   word of the product is short of x: SMMLAR adds it back, and rounds.
 * - Shifting with rounding away from zero is adding -1 to negative values, then half, then
 *   shifting; the zero point, shifted left by s, joins the half: `round` is
 *   (2 * zero_point + 1) << s, twice what is to be added.
 */
static inline int32_t nb_requantize_fast(int32_t x, int32_t twice_multiplier, int32_t round,
                                         int32_t shift) {
  int32_t value = nb_smmlar(x, twice_multiplier, x);
  value += value >> 31;
  value += round >> 1;
  return nb_ssat8(value >> shift);
}

#endif
