/* Convolution with any kernel: gathers patches of the input, then multiplies as a matrix. */
#include "nb_gemm_s8.h"

static void copy(int8_t *to, const int8_t *from, uint32_t count) {
  for (; count >= 4; count -= 4, to += 4, from += 4) nb_store_word(to, nb_load_word(from));
  for (; count != 0; count--) *to++ = *from++;
}

static void fill(int8_t *to, int32_t value, uint32_t count) {
  for (; count != 0; count--) *to++ = (int8_t)value;
}

/* The patch under output pixel `index`, [kernel_h][kernel_w][in_c]; the input's zero point
 * outside of the image. */
static void gather(const nb_conv_params *p, const int8_t *input, uint32_t index, int8_t *patch) {
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

/* On cores without DSP instructions, and for layers whose requantization is not `fast`. */
static void portable(const nb_conv_params *p, uint32_t pixel, uint32_t end, const int8_t *input,
                     int8_t *output, int8_t *patch) {
  const uint32_t depth = (uint32_t)p->kernel_h * p->kernel_w * p->in_c;
  const uint32_t row = (depth + 3u) & ~3u;
  for (; pixel < end; pixel++) {
    gather(p, input, pixel, patch);
    const int8_t *weights = p->weights;
    for (uint32_t channel = 0; channel < p->out_c; channel++) {
      int32_t sum = 0;
      for (uint32_t k = 0; k < depth; k++) sum += patch[k] * weights[k];
      sum = nb_add_wrap(sum, p->requantization.bias_multiplier[2 * channel]);
      *output++ = nb_requantize(&p->requantization, channel, sum);
      weights += row;
    }
  }
}

/* The output pixels `pixel`..end - 1 of the map, to `output`. */
static void convolve(const nb_conv_params *p, uint32_t pixel, uint32_t end, const int8_t *input,
                     int8_t *output, void *scratch) {
#ifdef NB_DSP
  const uint32_t depth = (uint32_t)p->kernel_h * p->kernel_w * p->in_c;
  const uint32_t row = (depth + 3u) & ~3u;
  const uint32_t pixels = end - pixel;
  const uint32_t channels = p->out_c;
  int8_t *patches = (int8_t *)scratch + 8 * row;
  if (!p->requantization.fast) {
    portable(p, pixel, end, input, output, patches);
    return;
  }
  while (pixel < end) {
    const uint32_t left = end - pixel;
    if (left == 1 || pixels < NB_GEMM_PIXELS) {
      gather(p, input, pixel, patches);
      nb_gemm_1_pixel(p->weights, &p->requantization, patches, depth, channels, scratch, output);
      output += channels;
      pixel++;
      continue;
    }
    if (left < NB_GEMM_PIXELS) { /* some are computed again */
      pixel -= NB_GEMM_PIXELS - left;
      output -= (NB_GEMM_PIXELS - left) * channels;
    }
    for (uint32_t i = 0; i < NB_GEMM_PIXELS; i++) gather(p, input, pixel + i, patches + i * row);
    nb_gemm_widen(patches, row, depth, scratch);
    nb_gemm_4_pixels(p->weights, &p->requantization, scratch, depth, channels, output);
    output += NB_GEMM_PIXELS * channels;
    pixel += NB_GEMM_PIXELS;
  }
#else
  portable(p, pixel, end, input, output, scratch);
#endif
}

void nb_conv_s8(const nb_conv_params *p, uint32_t first, uint32_t last, const int8_t *input,
                int8_t *output, void *scratch) {
  for (uint32_t y = first, run; y < last; y += run) {
    run = nb_ring_run(p->out, y, last);
    convolve(p, y * p->out_w, (y + run) * p->out_w, input,
             output + nb_ring_place(p->out, y) * p->out_w * p->out_c, scratch);
  }
}
