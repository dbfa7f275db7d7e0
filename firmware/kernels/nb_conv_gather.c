/* See nb_conv_gather.h. */
#include "nb_conv_gather.h"

static void copy(int8_t *to, const int8_t *from, uint32_t count) {
  for (; count >= 4; count -= 4, to += 4, from += 4) nb_store_word(to, nb_load_word(from));
  for (; count != 0; count--) *to++ = *from++;
}

static void fill(int8_t *to, int32_t value, uint32_t count) {
  for (; count != 0; count--) *to++ = (int8_t)value;
}

void nb_conv_gather(const nb_conv_params *p, const int8_t *input, uint32_t index, int8_t *patch) {
  const int32_t top = (int32_t)(index / p->out_w * p->stride_h) - p->pad_top;
  const int32_t left = (int32_t)(index % p->out_w * p->stride_w) - p->pad_left;
  const uint32_t depth = p->in_c;
  const uint32_t segment = p->kernel_w * depth;
  const int whole = p->dilation_w == 1 && left >= 0 && left + p->kernel_w <= p->in_w;
  for (uint32_t ky = 0; ky < p->kernel_h; ky++) {
    const int32_t y = top + (int32_t)(ky * p->dilation_h);
    if (y < 0 || y >= p->in_h) {
      fill(patch, p->input_zero_point, segment);
      patch += segment;
      continue;
    }
    const int8_t *row = input + nb_ring_place(p->in, (uint32_t)y) * p->in_w * depth;
    if (whole) {
      copy(patch, row + (uint32_t)left * depth, segment);
      patch += segment;
      continue;
    }
    for (uint32_t kx = 0; kx < p->kernel_w; kx++, patch += depth) {
      const int32_t x = left + (int32_t)(kx * p->dilation_w);
      if (x >= 0 && x < p->in_w) {
        copy(patch, row + (uint32_t)x * depth, depth);
      } else {
        fill(patch, p->input_zero_point, depth);
      }
    }
  }
}
