// SPDX-License-Identifier: Apache-2.0
/* 1x1 convolution, stride 1: a matrix product over pixels. */
#include "nb_kernels.h"

#ifdef NB_DSP
#include "nb_gemm_s8.h"

static void multiply(const nb_conv_1x1_params *p, uint32_t pixels, const int8_t *input,
                     int8_t *output, void *scratch) {
  const nb_requantization *r = &p->requantization;
  const uint32_t depth = p->in_c;
  const uint32_t pitch = p->pitch;
  nb_gemm_widen_function *widen = nb_gemm_widen_of(r);
  struct nb_gemm call;
  nb_gemm_prepare(&call, p->weights, r, scratch, depth, pitch);
  const int enough = pixels >= NB_GEMM_PIXELS;
  while (pixels != 0) {
    if (pixels == 1 || !enough) {
      nb_gemm_1_pixel(p->gemm, p->weights, r, input, depth, scratch, output);
      input += depth;
      output += pitch;
      pixels--;
      continue;
    }
    if (pixels < NB_GEMM_PIXELS) { /* some are computed again */
      const uint32_t again = NB_GEMM_PIXELS - pixels;
      input -= again * depth;
      output -= again * pitch;
      pixels = NB_GEMM_PIXELS;
    }
    widen(input, depth, depth, scratch);
    call.output = output;
    p->gemm(&call);
    input += NB_GEMM_PIXELS * depth;
    output += NB_GEMM_PIXELS * pitch;
    pixels -= NB_GEMM_PIXELS;
  }
}

void nb_conv_1x1_s8(const nb_layer *layer, uint32_t first, uint32_t last) {
  const nb_conv_1x1_params *p = layer->params;
  const int8_t *input = layer->input;
  int8_t *output = layer->output;
  void *scratch = layer->scratch;
  for (uint32_t y = first, run; y < last; y += run) {
    run = nb_ring_run(p->out, y, y + nb_ring_run(p->in, y, last));
    multiply(p, run * p->width, input + nb_ring_place(p->in, y) * p->width * p->in_c,
             output + nb_ring_place(p->out, y) * p->width * p->pitch, scratch);
  }
}

#endif
