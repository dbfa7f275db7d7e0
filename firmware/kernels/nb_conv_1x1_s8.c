/* 1x1 convolution, stride 1: a matrix product over pixels. */
#include "nb_gemm_s8.h"

#ifdef NB_DSP

static void multiply(const nb_conv_1x1_params *p, uint32_t pixels, const int8_t *input,
                     int8_t *output, void *scratch) {
  const uint32_t depth = p->in_c;
  const uint32_t pitch = p->pitch;
  uint32_t pixel = 0;
  while (pixel < pixels) {
    const uint32_t left = pixels - pixel;
    if (left == 1 || pixels < NB_GEMM_PIXELS) {
      nb_gemm_1_pixel(p->gemm, p->weights, &p->requantization, input + pixel * depth, depth,
                      scratch, output + pixel * pitch);
      pixel++;
      continue;
    }
    if (left < NB_GEMM_PIXELS) pixel = pixels - NB_GEMM_PIXELS; /* some are computed again */
    nb_gemm_widen_for(&p->requantization, input + pixel * depth, depth, depth, scratch);
    nb_gemm_4_pixels(p->gemm, p->weights, &p->requantization, scratch, depth, pitch,
                     output + pixel * pitch);
    pixel += NB_GEMM_PIXELS;
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

#else
void nb_conv_1x1_s8(const nb_layer *layer, uint32_t first, uint32_t last) {
  nb_conv_1x1_any_s8(layer, first, last);
}
#endif
