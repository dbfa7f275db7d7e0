// SPDX-License-Identifier: Apache-2.0
/* What the harness remembers between commands. */
#ifndef NB_STATE_H
#define NB_STATE_H

#include <stdint.h>

typedef struct {
  uint32_t expected; /* bytes that `db load` announced; 0: none announced */
  uint32_t received; /* bytes of them that have arrived */
  uint32_t runs;     /* inferences since the input was complete */
  int input_ready;   /* every input tensor holds what the host sent */
  int output_ready;  /* the output tensors hold the answer to that input */
} nb_harness_state;

#endif
