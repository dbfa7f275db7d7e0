// SPDX-License-Identifier: Apache-2.0
/* Depthwise convolution with several outputs an input channel. */
#include "nb_arithmetic.h"

static int32_t accumulate(const nb_depthwise_conv_multiplier_params *p, const int8_t *input,
                          int32_t top, int32_t left, const int8_t *weights) {
  int32_t sum = 0;
  for (uint32_t ky = 0; ky < p->kernel_h; ky++) {
    const int32_t y = top + (int32_t)(ky * p->dilation_h);
    for (uint32_t kx = 0; kx < p->kernel_w; kx++) {
      const int32_t x = left + (int32_t)(kx * p->dilation_w);
      const int inside = y >= 0 && y < p->in_h && x >= 0 && x < p->in_w;
      int32_t value = p->input_zero_point;
      if (inside) {
        value = input[(nb_ring_place(p->in, (uint32_t)y) * p->in_w + (uint32_t)x) * p->in_c];
      }
      sum += value * *weights++;
    }
  }
  return sum;
}

void nb_depthwise_conv_multiplier_s8(const nb_layer *layer, uint32_t first, uint32_t last) {
  const nb_depthwise_conv_multiplier_params *p = layer->params;
  const int8_t *input = layer->input;
  int8_t *output = layer->output;
  const uint32_t multiplier = p->out_c / p->in_c;
  const uint32_t taps = (uint32_t)p->kernel_h * p->kernel_w;
  for (uint32_t y = first; y < last; y++) {
    int8_t *target = output + nb_ring_place(p->out, y) * p->out_w * p->pitch;
    for (uint32_t x = 0; x < p->out_w; x++, target += p->pitch) {
      for (uint32_t channel = 0; channel < p->out_c; channel++) {
        const int32_t sum =
            accumulate(p, input + channel / multiplier, (int32_t)(y * p->stride_h) - p->pad_top,
                       (int32_t)(x * p->stride_w) - p->pad_left, p->weights + channel * taps);
        target[channel] = nb_requantize(&p->requantization, channel, sum);
      }
    }
  }
}
