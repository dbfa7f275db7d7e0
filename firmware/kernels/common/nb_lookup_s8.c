// SPDX-License-Identifier: Apache-2.0
/* A table of 256 entries, applied to every byte. */
#include "nb_arithmetic.h"

static void look_up(const int8_t *table, uint32_t count, const int8_t *input, int8_t *output) {
  for (; count >= 4; count -= 4, input += 4, output += 4) {
    const uint32_t word = nb_load_word(input);
    uint32_t result = (uint8_t)table[word & 255u];
    result |= (uint32_t)(uint8_t)table[(word >> 8) & 255u] << 8;
    result |= (uint32_t)(uint8_t)table[(word >> 16) & 255u] << 16;
    result |= (uint32_t)(uint8_t)table[word >> 24] << 24;
    nb_store_word(output, result);
  }
  for (; count != 0; count--) *output++ = table[(uint8_t)*input++];
}

void nb_lookup_s8(const nb_layer *layer, uint32_t first, uint32_t last) {
  const nb_lookup_params *p = layer->params;
  const int8_t *input = layer->input;
  int8_t *output = layer->output;
  for (uint32_t y = first, run; y < last; y += run) {
    run = nb_ring_run(p->in, y, last);
    run = nb_ring_run(p->out, y, y + run);
    look_up(p->table, run * p->row, input + nb_ring_place(p->in, y) * p->row,
            output + nb_ring_place(p->out, y) * p->row);
  }
}

void nb_lookup_pixels_s8(const nb_layer *layer, uint32_t first, uint32_t last) {
  const nb_lookup_pixels_params *pixels = layer->params;
  const nb_lookup_params *p = &pixels->whole;
  const uint32_t channels = pixels->pixels.channels;
  const uint32_t pitch = pixels->pixels.pitch;
  const uint32_t width = p->row / channels;
  for (uint32_t y = first; y < last; y++) {
    const int8_t *input = layer->input + nb_ring_place(p->in, y) * p->row;
    int8_t *output = layer->output + nb_ring_place(p->out, y) * width * pitch;
    for (uint32_t x = 0; x < width; x++, input += channels, output += pitch) {
      look_up(p->table, channels, input, output);
    }
  }
}
