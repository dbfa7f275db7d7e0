/* See nb_conv_gather.h. */
#include "nb_conv_gather.h"

/* Copies `count` bytes; returns where they end. */
static inline __attribute__((always_inline)) int8_t *copy(int8_t *to, const int8_t *from, uint32_t count) {
#ifdef NB_DSP
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
#else
  for (; count != 0; count--) *to++ = *from++;
#endif
  return to;
}

static int8_t *fill(int8_t *to, int32_t value, uint32_t count) {
  for (; count != 0; count--) *to++ = (int8_t)value;
  return to;
}

/* `span` columns of a patch's row, from column `left` of the input's row on. */
static int8_t *gather_columns(const nb_conv_params *p, const int8_t *row, int32_t left, int32_t span,
                              int8_t *to) {
  const int32_t depth = p->in_c;
  const int32_t before = nb_clamp(-left, 0, span);
  const int32_t end = nb_clamp(p->in_w - left, before, span);
  to = fill(to, p->input_zero_point, (uint32_t)(before * depth));
  to = copy(to, row + (left + before) * depth, (uint32_t)((end - before) * depth));
  return fill(to, p->input_zero_point, (uint32_t)((span - end) * depth));
}

/* A patch that may reach beyond the input, or beyond the end of its ring. */
static void gather_any(const nb_conv_params *p, const int8_t *input, int32_t top, int32_t left,
                       int8_t *to) {
  const uint32_t span = p->dilation_w == 1 ? p->kernel_w : 1;
  for (uint32_t ky = 0; ky < p->kernel_h; ky++) {
    const int32_t y = top + (int32_t)(ky * p->dilation_h);
    if (y < 0 || y >= p->in_h) {
      to = fill(to, p->input_zero_point, (uint32_t)p->kernel_w * p->in_c);
      continue;
    }
    const int8_t *row = input + nb_ring_place(p->in, (uint32_t)y) * p->in_w * p->in_c;
    for (uint32_t kx = 0; kx < p->kernel_w; kx += span) {
      to = gather_columns(p, row, left + (int32_t)(kx * p->dilation_w), (int32_t)span, to);
    }
  }
}

/* How many output pixels from the one at `left` on have all their columns in the input, in a run. */
static uint32_t whole_columns(const nb_conv_params *p, int32_t left) {
  const int32_t right = p->in_w - p->kernel_w - left;
  return p->dilation_w != 1 || left < 0 || right < 0 ? 0 : (uint32_t)right / p->stride_w + 1;
}

void nb_conv_gather(const nb_conv_params *p, const int8_t *input, uint32_t index, uint32_t count,
                    uint32_t bytes, int8_t *patches) {
  const uint32_t row = (uint32_t)p->in_w * p->in_c;
  const uint32_t step = p->dilation_h * row;
  const uint32_t reach = (p->kernel_h - 1u) * p->dilation_h;
  const int8_t *const end = patches + count * bytes;
  while (patches != end) {
    const uint32_t y = index / p->out_w;
    const int32_t top = (int32_t)(y * p->stride_h) - p->pad_top;
    const int32_t left = (int32_t)((index - y * p->out_w) * p->stride_w) - p->pad_left;
    const uint32_t place = nb_ring_place(p->in, (uint32_t)top);
    uint32_t run = 0;
    if (top >= 0 && place + reach < p->in.rows && (uint32_t)top + reach < p->in_h) {
      run = whole_columns(p, left);
    }
    if (run == 0) {
      gather_any(p, input, top, left, patches);
      patches += bytes;
      index++;
      continue;
    }
    const int8_t *from = input + place * row + (uint32_t)left * p->in_c;
    do {
      const int8_t *source = from;
      int8_t *to = patches;
      uint32_t rows = p->kernel_h;
      do {
        to = copy(to, source, (uint32_t)p->kernel_w * p->in_c);
        source += step;
      } while (--rows != 0);
      from += (uint32_t)p->stride_w * p->in_c;
      patches += bytes;
      index++;
    } while (--run != 0 && patches != end);
  }
}
