// SPDX-License-Identifier: Apache-2.0
/* Kernels for layers with a clamp narrower than int8: here all kernels clamp what they write. */
#include "nb_kernels.h"

#ifndef NB_DSP

void nb_conv_1x1_clamped_s8(const nb_layer *layer, uint32_t first, uint32_t last) {
  nb_conv_1x1_s8(layer, first, last);
}

void nb_conv_clamped_s8(const nb_layer *layer, uint32_t first, uint32_t last) {
  nb_conv_s8(layer, first, last);
}

void nb_depthwise_conv_clamped_s8(const nb_layer *layer, uint32_t first, uint32_t last) {
  nb_depthwise_conv_s8(layer, first, last);
}

void nb_fully_connected_clamped_s8(const nb_layer *layer, uint32_t first, uint32_t last) {
  nb_fully_connected_s8(layer, first, last);
}

#endif
