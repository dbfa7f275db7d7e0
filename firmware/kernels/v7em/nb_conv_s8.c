// SPDX-License-Identifier: Apache-2.0
/* Convolution with any kernel: gathers patches of the input, then multiplies as a matrix. */
#include "nb_kernels.h"

#ifdef NB_DSP
#include "nb_conv_gather.h"
#include "nb_gemm_s8.h"

/* The output pixels `pixel`..end - 1 of the map, to `output`. */
static void convolve(const nb_conv_params *p, uint32_t pixel, uint32_t end, const int8_t *input,
                     int8_t *output, void *scratch) {
  const nb_requantization *r = &p->requantization;
  /* The weights' padding is zero, so the patches' may be anything. */
  const uint32_t row = ((uint32_t)p->kernel_h * p->kernel_w * p->in_c + 3u) & ~3u;
  const uint32_t pitch = p->pitch;
  const int enough = end - pixel >= NB_GEMM_PIXELS;
  int8_t *patches = (int8_t *)scratch + 8 * row;
  nb_gemm_widen_function *widen = nb_gemm_widen_of(r);
  struct nb_gemm call;
  nb_gemm_prepare(&call, p->weights, r, scratch, row, pitch);
  while (pixel < end) {
    const uint32_t left = end - pixel;
    if (left == 1 || !enough) {
      nb_conv_gather(p, input, pixel, 1, row, patches);
      nb_gemm_1_pixel(p->gemm, p->weights, r, patches, row, scratch, output);
      output += pitch;
      pixel++;
      continue;
    }
    if (left < NB_GEMM_PIXELS) { /* some are computed again */
      pixel -= NB_GEMM_PIXELS - left;
      output -= (NB_GEMM_PIXELS - left) * pitch;
    }
    nb_conv_gather(p, input, pixel, NB_GEMM_PIXELS, row, patches);
    widen(patches, row, row, scratch);
    call.output = output;
    p->gemm(&call);
    output += NB_GEMM_PIXELS * pitch;
    pixel += NB_GEMM_PIXELS;
  }
}

void nb_conv_s8(const nb_layer *layer, uint32_t first, uint32_t last) {
  const nb_conv_params *p = layer->params;
  const int8_t *input = layer->input;
  int8_t *output = layer->output;
  void *scratch = layer->scratch;
  for (uint32_t y = first, run; y < last; y += run) {
    run = nb_ring_run(p->out, y, last);
    convolve(p, y * p->out_w, (y + run) * p->out_w, input,
             output + nb_ring_place(p->out, y) * p->out_w * p->pitch, scratch);
  }
}

#endif
