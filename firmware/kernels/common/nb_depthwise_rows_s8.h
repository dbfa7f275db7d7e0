// SPDX-License-Identifier: Apache-2.0
/* Inner loops of the depthwise convolution on cores with DSP instructions. */
#ifndef NB_DEPTHWISE_ROWS_S8_H
#define NB_DEPTHWISE_ROWS_S8_H

#include "nb_dsp.h"
#include "nb_layout.h"

/* Planes are 256 times as large as what they are made of on cores with DSP instructions. */
#ifdef NB_DSP
#define NB_PLANE_SHIFT 8
#else
#define NB_PLANE_SHIFT 0
#endif

/* Output rows of some channels whose padded input lies in planes of int16, one behind another.
 * Read by assembly. Strides are in bytes. `own` and `taps` are those of the
 * channel behind them afterwards; so are the other three of the first five fields where assembly
 * wrote them, and `channels` is 0. */
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

/* Rows of four channels from NHWC to planes. Read by assembly. */
typedef struct {
  const int8_t *input;
  uint32_t stride; /* bytes from pixel to pixel */
  uint32_t width;
  int16_t *output;
  uint32_t plane;    /* bytes from plane to plane */
  uint32_t rows;     /* at least 1 */
  uint32_t row_step; /* bytes from behind a row of a plane to the next one */
} nb_depthwise_copy;

#ifdef NB_DSP
NB_FIELD(struct nb_depthwise_rows, own, NB_DEPTHWISE_OWN);
NB_FIELD(struct nb_depthwise_rows, taps, NB_DEPTHWISE_TAPS);
NB_FIELD(struct nb_depthwise_rows, channels, NB_DEPTHWISE_CHANNELS);
NB_FIELD(struct nb_depthwise_rows, input, NB_DEPTHWISE_INPUT);
NB_FIELD(struct nb_depthwise_rows, output, NB_DEPTHWISE_OUTPUT);
NB_FIELD(struct nb_depthwise_rows, plane, NB_DEPTHWISE_PLANE);
NB_FIELD(struct nb_depthwise_rows, rows, NB_DEPTHWISE_ROWS);
NB_FIELD(struct nb_depthwise_rows, round, NB_DEPTHWISE_ROUND);
NB_FIELD(struct nb_depthwise_rows, count, NB_DEPTHWISE_COUNT);
NB_FIELD(struct nb_depthwise_rows, output_stride, NB_DEPTHWISE_OUTPUT_STRIDE);
NB_FIELD(struct nb_depthwise_rows, back, NB_DEPTHWISE_BACK);
NB_FIELD(struct nb_depthwise_rows, row_stride, NB_DEPTHWISE_ROW_STRIDE);
NB_FIELD(struct nb_depthwise_rows, next, NB_DEPTHWISE_NEXT);
NB_FIELD(nb_depthwise_copy, input, NB_COPY_INPUT);
NB_FIELD(nb_depthwise_copy, stride, NB_COPY_STRIDE);
NB_FIELD(nb_depthwise_copy, width, NB_COPY_WIDTH);
NB_FIELD(nb_depthwise_copy, output, NB_COPY_OUTPUT);
NB_FIELD(nb_depthwise_copy, plane, NB_COPY_PLANE);
NB_FIELD(nb_depthwise_copy, rows, NB_COPY_ROWS);
NB_FIELD(nb_depthwise_copy, row_step, NB_COPY_ROW_STEP);

void nb_depthwise_copy_rows(const nb_depthwise_copy *copy);
#endif

#endif
