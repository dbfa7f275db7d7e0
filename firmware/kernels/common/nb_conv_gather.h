// SPDX-License-Identifier: Apache-2.0
/* The inputs of output pixels, one row of the kernel behind the other, padding filled in. */
#ifndef NB_CONV_GATHER_H
#define NB_CONV_GATHER_H

#include "nb_arithmetic.h"

/* `count` output pixels from `index` on; the patch of each, kernel_h * kernel_w * in_c bytes, begins
 * `bytes` behind the one before. */
void nb_conv_gather(const nb_conv_params *p, const int8_t *input, uint32_t index, uint32_t count,
                    uint32_t bytes, int8_t *patches);

#endif
