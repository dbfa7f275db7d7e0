// SPDX-License-Identifier: Apache-2.0
/* See nb_parts.h: in portable C, the kernels do everything themselves. */
#ifndef NB_PARTS_PORTABLE_H
#define NB_PARTS_PORTABLE_H

#include "nb_arithmetic.h"
#include "nb_pool_window.h"

#define NB_PLANE_SHIFT 0

static inline __attribute__((always_inline)) int8_t *nb_copy_bytes(int8_t *to, const int8_t *from,
                                                                   uint32_t count) {
  for (; count != 0; count--) *to++ = *from++;
  return to;
}

static inline uint32_t nb_sum_part(int32_t sums[4], uint32_t channels, const int8_t *bytes,
                                   uint32_t count, uint32_t stride) {
  (void)sums, (void)channels, (void)bytes, (void)count, (void)stride;
  return 0;
}

static inline __attribute__((always_inline)) void nb_max_pool_pixel(const nb_pool_params *p,
                                                                    const int8_t *input,
                                                                    nb_pool_window window,
                                                                    int8_t *target) {
  nb_max_pool_channels(p, input, window, target);
}

static inline uint32_t nb_add_part(const nb_add_params *p, uint32_t elements, const int8_t *input0,
                                   const int8_t *input1, int8_t *output) {
  (void)p, (void)elements, (void)input0, (void)input1, (void)output;
  return 0;
}

static inline void nb_weighted_sum_part(const nb_weighted_sum_params *p, uint32_t *count,
                                        const int8_t **a, const int8_t **b, int8_t **output) {
  (void)p, (void)count, (void)a, (void)b, (void)output;
}

#endif
