// SPDX-License-Identifier: Apache-2.0
/* See nb_conv_gather.h. */
#include "nb_conv_gather.h"

#include "nb_parts.h"

static int8_t *fill(int8_t *to, int32_t value, uint32_t count) {
  for (; count != 0; count--) *to++ = (int8_t)value;
  return to;
}

/* A row of a patch whose columns are dilated or partly beyond the input, from column `left` on. */
static void gather_columns(const nb_conv_params *p, const int8_t *row, int32_t left, int8_t *to) {
  const int32_t depth = p->in_c;
  const int32_t span = p->dilation_w == 1 ? p->kernel_w : 1;
  for (int32_t kx = 0; kx < p->kernel_w; kx += span, left += p->dilation_w) {
    const int32_t before = nb_clamp(-left, 0, span);
    const int32_t end = nb_clamp(p->in_w - left, before, span);
    to = fill(to, p->input_zero_point, (uint32_t)(before * depth));
    to = nb_copy_bytes(to, row + (left + before) * depth, (uint32_t)((end - before) * depth));
    to = fill(to, p->input_zero_point, (uint32_t)((span - end) * depth));
  }
}

/* How many output pixels from the one at `left` on have all their columns in the input, in a run. */
static uint32_t whole_columns(const nb_conv_params *p, int32_t left) {
  const int32_t right = p->in_w - p->kernel_w - left;
  return p->dilation_w != 1 || left < 0 || right < 0 ? 0 : (uint32_t)right / p->stride_w + 1;
}

void nb_conv_gather(const nb_conv_params *p, const int8_t *input, uint32_t index, uint32_t count,
                    uint32_t bytes, int8_t *patches) {
  const uint32_t segment = (uint32_t)p->kernel_w * p->in_c;
  const uint32_t step = (uint32_t)p->stride_w * p->in_c;
  while (count != 0) {
    const uint32_t out_y = index / p->out_w;
    const int32_t left = (int32_t)((index - out_y * p->out_w) * p->stride_w) - p->pad_left;
    const uint32_t whole = whole_columns(p, left);
    const uint32_t run = whole == 0 ? 1 : whole < count ? whole : count;
    int32_t y = (int32_t)(out_y * p->stride_h) - p->pad_top;
    int8_t *first = patches;
    for (uint32_t ky = p->kernel_h; ky != 0; ky--, y += p->dilation_h, first += segment) {
      int8_t *to = first;
      uint32_t pixels = run;
      if (y < 0 || y >= p->in_h) {
        do {
          fill(to, p->input_zero_point, segment);
          to += bytes;
        } while (--pixels != 0);
        continue;
      }
      const int8_t *row = input + nb_ring_place(p->in, (uint32_t)y) * p->in_w * p->in_c;
      if (whole == 0) {
        gather_columns(p, row, left, to);
        continue;
      }
      row += left * p->in_c;
      do {
        nb_copy_bytes(to, row, segment);
        row += step;
        to += bytes;
      } while (--pixels != 0);
    }
    patches += run * bytes;
    index += run;
    count -= run;
  }
}
