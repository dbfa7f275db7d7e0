/* Sum or difference of two tensors, each with a factor: one shift and one saturation. */
#include "nb_dsp.h"

#ifdef NB_DSP
#define ONE                        \
  "ldrsb %[sum], [%[a]], #1\n"     \
  "ldrsb %[value], [%[b]], #1\n"   \
  "mla %[sum], %[sum], %[factor0], %[offset]\n" \
  "mla %[sum], %[value], %[factor1], %[sum]\n"  \
  "ssat %[sum], #8, %[sum], asr #" NB_TEXT(NB_WEIGHTED_SUM_SHIFT) "\n" \
  "strb %[sum], [%[output]], #1\n"
#endif

static void add_up(const nb_weighted_sum_params *p, uint32_t count, const int8_t *a,
                   const int8_t *b, int8_t *output) {
#ifdef NB_DSP
  uint32_t sum, value, fours = count >> 2;
  count &= 3;
  if (fours != 0) {
    __asm__ volatile(
        "1:\n" ONE ONE ONE ONE
        "subs %[fours], #1\n"
        "bne 1b\n"
        : [sum] "=&r"(sum), [value] "=&r"(value), [fours] "+&r"(fours), [a] "+&r"(a), [b] "+&r"(b),
          [output] "+&r"(output)
        : [factor0] "r"(p->factor[0]), [factor1] "r"(p->factor[1]), [offset] "r"(p->offset)
        : "cc", "memory");
  }
#endif
  for (; count != 0; count--) {
    const uint32_t whole = (uint32_t)p->offset + (uint32_t)*a++ * (uint32_t)p->factor[0] +
                           (uint32_t)*b++ * (uint32_t)p->factor[1];
    *output++ = (int8_t)nb_clamp((int32_t)whole >> NB_WEIGHTED_SUM_SHIFT, -128, 127);
  }
}

void nb_weighted_sum_s8(const nb_layer *layer, uint32_t first, uint32_t last) {
  const nb_weighted_sum_params *p = layer->params;
  const int8_t *input0 = layer->input;
  const int8_t *input1 = layer->second;
  int8_t *output = layer->output;
  for (uint32_t y = first, run; y < last; y += run) {
    run = nb_ring_run(p->in[0], y, last);
    run = nb_ring_run(p->in[1], y, y + run);
    run = nb_ring_run(p->out, y, y + run);
    add_up(p, run * p->row, input0 + nb_ring_place(p->in[0], y) * p->row,
           input1 + nb_ring_place(p->in[1], y) * p->row,
           output + nb_ring_place(p->out, y) * p->row);
  }
}

void nb_weighted_sum_pixels_s8(const nb_layer *layer, uint32_t first, uint32_t last) {
  const nb_weighted_sum_pixels_params *pixels = layer->params;
  const nb_weighted_sum_params *p = &pixels->whole;
  const uint32_t channels = pixels->pixels.channels;
  const uint32_t pitch = pixels->pixels.pitch;
  const uint32_t width = p->row / channels;
  for (uint32_t y = first; y < last; y++) {
    const int8_t *input0 = layer->input + nb_ring_place(p->in[0], y) * p->row;
    const int8_t *input1 = layer->second + nb_ring_place(p->in[1], y) * p->row;
    int8_t *output = layer->output + nb_ring_place(p->out, y) * width * pitch;
    for (uint32_t x = 0; x < width; x++, output += pitch) {
      add_up(p, channels, input0, input1, output);
      input0 += channels;
      input1 += channels;
    }
  }
}
