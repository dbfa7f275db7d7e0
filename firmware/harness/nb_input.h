// SPDX-License-Identifier: Apache-2.0
/* The input tensors, laid end to end. */
#ifndef NB_INPUT_H
#define NB_INPUT_H

#include <stdint.h>

uint32_t nb_input_bytes(void);           /* of all of them */
uint32_t nb_resident_bytes(void);        /* what of them lies in memory at a time */
uint8_t *nb_input_byte(uint32_t offset); /* `offset` is below their total */
uint32_t nb_input_fingerprint(void);

#endif
