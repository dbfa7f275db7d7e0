// SPDX-License-Identifier: Apache-2.0
/* Depthwise convolution, one output an input channel, in portable C. */
#include "nb_kernels.h"

#ifndef NB_DSP
#include "nb_depthwise_bands.h"

static void copy_rows(const nb_depthwise_conv_params *p, const int8_t *input, uint32_t rows,
                      uint32_t count, int16_t *output) {
  copy_bytes(p, input, rows, count, output);
}

void nb_depthwise_conv_s8(const nb_layer *layer, uint32_t first, uint32_t last) {
  in_bands(layer, first, last);
}

#endif
