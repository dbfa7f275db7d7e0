// SPDX-License-Identifier: Apache-2.0
/* What the inner loops of the depthwise convolution get. */
#ifndef NB_DEPTHWISE_ROWS_S8_H
#define NB_DEPTHWISE_ROWS_S8_H

#include "nb_parts.h"

/* Output rows of some channels whose padded input lies in planes of int16, one behind another.
 * Assembly reads it. Strides are in bytes. `own` and `taps` are those of the channel behind them
 * afterwards; so are the other three of the first five fields where assembly wrote them, and
 * `channels` is 0. */
struct nb_depthwise_rows {
  const int32_t *own; /* see nb_requantization */
  const int8_t *taps;
  uint32_t channels;
  const int16_t *input;
  int8_t *output;
  uint32_t plane;
  uint32_t rows;
  int32_t round;  /* 2 * zero_point + 1; with one rounding the offset */
  uint32_t count; /* output columns */
  uint32_t output_stride;
  uint32_t back; /* from behind the last kernel row to the next four columns, downwards */
  uint32_t row_stride;
  int32_t next; /* from behind the last four columns to the next output row */
  const nb_depthwise_conv_params *params; /* for nb_depthwise_rows_any */
};

#endif
