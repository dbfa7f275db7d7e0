// SPDX-License-Identifier: Apache-2.0
/* The part of a pooling window that lies inside the image. Shared by the poolings. */
#ifndef NB_POOL_WINDOW_H
#define NB_POOL_WINDOW_H

#include "nb_dsp.h"

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

#endif
