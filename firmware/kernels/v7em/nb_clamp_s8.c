// SPDX-License-Identifier: Apache-2.0
/* See nb_clamp_s8.h. */
#include "nb_clamp_s8.h"

#include "nb_kernels.h"

#ifdef NB_DSP
#include "nb_dsp.h"

void nb_clamp_s8(int32_t minimum, int32_t maximum, int8_t *output, uint32_t count) {
  if (minimum == -128 && maximum == 127) return;
  const uint32_t low = (uint8_t)minimum * 0x01010101u;
  const uint32_t high = (uint8_t)maximum * 0x01010101u;
  for (; count >= 4; count -= 4, output += 4) {
    nb_store_word(output, nb_smaller_bytes(nb_larger_bytes(nb_load_word(output), low), high));
  }
  for (; count != 0; count--, output++) {
    *output = (int8_t)nb_clamp(*output, minimum, maximum);
  }
}

#endif
