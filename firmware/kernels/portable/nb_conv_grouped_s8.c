// SPDX-License-Identifier: Apache-2.0
/* Convolution in groups: an output channel reads only its group's input channels. */
#include "nb_arithmetic.h"

static int32_t accumulate(const nb_conv_params *p, const int8_t *input, int32_t top, int32_t left,
                          const int8_t *weights) {
  int32_t sum = 0;
  for (uint32_t ky = 0; ky < p->kernel_h; ky++) {
    const int32_t y = top + (int32_t)(ky * p->dilation_h);
    for (uint32_t kx = 0; kx < p->kernel_w; kx++, weights += p->group_c) {
      const int32_t x = left + (int32_t)(kx * p->dilation_w);
      if (y >= 0 && y < p->in_h && x >= 0 && x < p->in_w) {
        const uint32_t place = nb_ring_place(p->in, (uint32_t)y) * p->in_w + (uint32_t)x;
        const int8_t *pixel = input + place * p->in_c;
        for (uint32_t k = 0; k < p->group_c; k++) sum += pixel[k] * weights[k];
      } else {
        for (uint32_t k = 0; k < p->group_c; k++) sum += p->input_zero_point * weights[k];
      }
    }
  }
  return sum;
}

void nb_conv_grouped_s8(const nb_layer *layer, uint32_t first, uint32_t last) {
  const nb_conv_params *p = layer->params;
  const int8_t *input = layer->input;
  int8_t *output = layer->output;
  const uint32_t filters = p->out_c / (p->in_c / p->group_c);
  const uint32_t row = ((uint32_t)p->kernel_h * p->kernel_w * p->group_c + 3u) & ~3u;
  for (uint32_t y = first; y < last; y++) {
    int8_t *target = output + nb_ring_place(p->out, y) * p->out_w * p->pitch;
    for (uint32_t x = 0; x < p->out_w; x++, target += p->pitch) {
      for (uint32_t channel = 0; channel < p->out_c; channel++) {
        const int32_t sum = accumulate(
            p, input + channel / filters * p->group_c, (int32_t)(y * p->stride_h) - p->pad_top,
            (int32_t)(x * p->stride_w) - p->pad_left, (const int8_t *)p->weights + channel * row);
        target[channel] = nb_requantize(&p->requantization, channel, sum);
      }
    }
  }
}
