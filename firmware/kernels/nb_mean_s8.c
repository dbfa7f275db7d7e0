/* Mean over height and width. */
#include "nb_arithmetic.h"

#ifdef NB_DSP
#define LANES 4u /* channels a word of the input */

/* sum + one byte of a word */
#define ADD_BYTE(sum, word, rotation) \
  __asm__("sxtab %0, %0, %1" rotation : "+r"(sum) : "r"(word))
#endif

void nb_mean_s8(const nb_layer *layer, uint32_t first, uint32_t last) {
  const nb_mean_params *p = layer->params;
  const int8_t *input = layer->input;
  int8_t *output = layer->output;
  const uint32_t channels = p->channels;
  (void)first, (void)last;
  for (uint32_t left = channels; left != 0;) {
    const int8_t *value = input;
    int32_t sums[4];
    uint32_t pixels = p->pixels, done = 1;
    int32_t a = p->offset;
#ifdef NB_DSP
    if (left >= LANES) {
      int32_t b = a, c = a, d = a;
      do {
        const uint32_t word = nb_load_word(value);
        ADD_BYTE(a, word, "");
        ADD_BYTE(b, word, ", ror #8");
        ADD_BYTE(c, word, ", ror #16");
        ADD_BYTE(d, word, ", ror #24");
        value += channels;
      } while (--pixels != 0);
      sums[1] = b;
      sums[2] = c;
      sums[3] = d;
      done = LANES;
    }
#endif
    for (; pixels != 0; pixels--, value += channels) a += *value;
    sums[0] = a;
    input += done;
    left -= done;
    for (uint32_t i = 0; i < done; i++) {
      const int32_t mean = nb_multiply(sums[i], p->multiplier, p->shift);
      *output++ = (int8_t)nb_clamp(mean + p->zero_point, -128, 127);
    }
  }
}
