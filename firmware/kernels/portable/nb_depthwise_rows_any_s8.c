// SPDX-License-Identifier: Apache-2.0
/* Output rows of a depthwise convolution in portable C, with any kernel and requantization. */
#include "nb_depthwise_rows_s8.h"

void nb_depthwise_rows_any(struct nb_depthwise_rows *call) {
  const nb_depthwise_conv_params *p = call->params;
  const uint32_t plane = call->plane / sizeof(int16_t);
  nb_requantization r = p->requantization;
  r.channels = call->own;
  const uint32_t channels = call->channels;
  for (uint32_t c = 0; c < channels; c++) {
    const int8_t *taps = call->taps + c * p->kernel_h * p->kernel_w;
    const int16_t *rows = call->input + c * plane;
    int8_t *output = call->output + c;
    for (uint32_t y = 0; y < call->rows; y++, rows += (uint32_t)p->stride_h * p->row_stride) {
      for (uint32_t x = 0; x < p->out_w; x++, output += p->pitch) {
        int32_t sum = 0;
        for (uint32_t ky = 0; ky < p->kernel_h; ky++) {
          const int16_t *row = rows + ky * p->dilation_h * p->row_stride + x * p->stride_w;
          const int8_t *tap = taps + ky * p->kernel_w;
          for (uint32_t kx = 0; kx < p->kernel_w; kx++) {
            sum += (row[kx * p->dilation_w] >> NB_PLANE_SHIFT) * tap[kx];
          }
        }
        *output = nb_requantize(&r, c, sum);
      }
    }
  }
  call->own += channels * nb_channel_words(&r);
  call->taps += channels * p->kernel_h * p->kernel_w;
}
