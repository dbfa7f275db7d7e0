/* Output rows of one channel of a depthwise convolution, on cores with DSP instructions. */
#ifndef NB_DEPTHWISE_ROWS_S8_H
#define NB_DEPTHWISE_ROWS_S8_H

#include "nb_dsp.h"

#define NB_DEPTHWISE_PAIRS 42 /* words of taps of the largest kernel, 7x7 */

/* Read by assembly; the order matters. Strides are in bytes. */
typedef struct {
  int32_t twice_multiplier;
  int32_t round; /* (2 * zero_point + 1) << shift */
  int32_t shift;
  int8_t *output; /* the channel's byte of the first output pixel */
  uint32_t count; /* output columns */
  uint32_t output_stride;
  uint32_t back; /* from behind the last kernel row to the next four columns, downwards */
  int32_t bias;
  uint32_t row_stride;
  int32_t next; /* from behind the last four columns to the next output row */
  uint32_t rows; /* output rows */
  const int16_t *input;
  uint32_t pairs[NB_DEPTHWISE_PAIRS]; /* the taps, see nb_depthwise_pairs */
} nb_depthwise_rows;

typedef void (*nb_depthwise_rows_function)(const nb_depthwise_rows *);

/* The function for a square kernel, or 0 where there is none. */
nb_depthwise_rows_function nb_depthwise_rows_for(uint32_t kernel, uint32_t stride);

/* Packs kernel * kernel taps into pairs, in the order in which that function reads them. */
void nb_depthwise_pairs(const int8_t *taps, uint32_t kernel, uint32_t *pairs);

#endif
