// SPDX-License-Identifier: Apache-2.0
/* Kernels that need a `fast` requantization: here they are those that take any. */
#include "nb_kernels.h"

#ifndef NB_DSP

void nb_conv_1x1_s8(const nb_layer *layer, uint32_t first, uint32_t last) {
  nb_conv_1x1_any_s8(layer, first, last);
}

void nb_conv_s8(const nb_layer *layer, uint32_t first, uint32_t last) {
  nb_conv_any_s8(layer, first, last);
}

void nb_fully_connected_s8(const nb_layer *layer, uint32_t first, uint32_t last) {
  nb_fully_connected_any_s8(layer, first, last);
}

#endif
