// SPDX-License-Identifier: Apache-2.0
/* Clamping a whole tensor, for kernels whose fast path saturates to int8 only. */
#ifndef NB_CLAMP_S8_H
#define NB_CLAMP_S8_H

#include <stdint.h>

/* Clamps `count` bytes to minimum..maximum where that is narrower than int8. */
void nb_clamp_s8(int32_t minimum, int32_t maximum, int8_t *output, uint32_t count);

#endif
