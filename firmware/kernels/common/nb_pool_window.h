// SPDX-License-Identifier: Apache-2.0
/* The part of a pooling window that lies inside the image. Shared by the poolings. */
#ifndef NB_POOL_WINDOW_H
#define NB_POOL_WINDOW_H

#include "nb_arithmetic.h"

typedef struct {
  uint32_t top, bottom, left, right; /* bottom and right: one behind the last */
} nb_pool_window;

static inline nb_pool_window nb_pool_window_at(const nb_pool_params *p, uint32_t y, uint32_t x) {
  const int32_t top = (int32_t)(y * p->stride_h) - p->pad_top;
  const int32_t left = (int32_t)(x * p->stride_w) - p->pad_left;
  const nb_pool_window window = {
      (uint32_t)nb_clamp(top, 0, p->in_h), (uint32_t)nb_clamp(top + p->kernel_h, 0, p->in_h),
      (uint32_t)nb_clamp(left, 0, p->in_w), (uint32_t)nb_clamp(left + p->kernel_w, 0, p->in_w)};
  return window;
}

/* Of one channel. */
static inline int32_t nb_largest(const nb_pool_params *p, const int8_t *input, nb_pool_window w) {
  int32_t found = -128;
  for (uint32_t y = w.top; y < w.bottom; y++) {
    for (uint32_t x = w.left; x < w.right; x++) {
      const int32_t value = input[(nb_ring_place(p->in, y) * p->in_w + x) * p->channels];
      if (value > found) found = value;
    }
  }
  return found;
}

/* Maxima of all channels of an output pixel, one by one. */
static inline __attribute__((always_inline)) void nb_max_pool_channels(const nb_pool_params *p,
                                                                       const int8_t *input,
                                                                       nb_pool_window window,
                                                                       int8_t *target) {
  for (uint32_t c = 0; c < p->channels; c++) {
    target[c] = (int8_t)nb_clamp(nb_largest(p, input + c, window), p->minimum, p->maximum);
  }
}

#endif
