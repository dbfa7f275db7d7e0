// SPDX-License-Identifier: Apache-2.0
/* Kernels whose inner loops saturate to int8 only, for layers with a narrower clamp. */
#include "nb_kernels.h"

#ifdef NB_DSP
#include "nb_arithmetic.h"
#include "nb_clamp_s8.h"

/* Rows first..last - 1 of a map; between its pixels may lie the channels of other layers. */
static void clamp_rows(const nb_requantization *r, int8_t *output, nb_ring ring, uint32_t width,
                       uint32_t channels, uint32_t pitch, uint32_t first, uint32_t last) {
  const uint32_t runs = pitch == channels ? 1 : width;
  for (uint32_t y = first; y < last; y++) {
    int8_t *run = output + nb_ring_place(ring, y) * width * pitch;
    for (uint32_t i = 0; i < runs; i++, run += pitch) {
      nb_clamp_s8(r->minimum, r->maximum, run, channels * width / runs);
    }
  }
}

void nb_conv_1x1_clamped_s8(const nb_layer *layer, uint32_t first, uint32_t last) {
  nb_conv_1x1_s8(layer, first, last);
  const nb_conv_1x1_params *p = layer->params;
  clamp_rows(&p->requantization, layer->output, p->out, p->width, p->out_c, p->pitch, first, last);
}

void nb_conv_clamped_s8(const nb_layer *layer, uint32_t first, uint32_t last) {
  nb_conv_s8(layer, first, last);
  const nb_conv_params *p = layer->params;
  clamp_rows(&p->requantization, layer->output, p->out, p->out_w, p->out_c, p->pitch, first, last);
}

void nb_depthwise_conv_clamped_s8(const nb_layer *layer, uint32_t first, uint32_t last) {
  nb_depthwise_conv_s8(layer, first, last);
  const nb_depthwise_conv_params *p = layer->params;
  clamp_rows(&p->requantization, layer->output, p->out, p->out_w, p->in_c, p->pitch, first, last);
}

void nb_fully_connected_clamped_s8(const nb_layer *layer, uint32_t first, uint32_t last) {
  nb_fully_connected_s8(layer, first, last);
  const nb_fully_connected_params *p = layer->params;
  const nb_requantization *r = &p->requantization;
  nb_clamp_s8(r->minimum, r->maximum, layer->output, p->batch * p->out_c);
}

#endif
