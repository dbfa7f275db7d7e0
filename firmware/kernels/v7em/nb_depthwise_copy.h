// SPDX-License-Identifier: Apache-2.0
/* Copies of four channels into the depthwise convolution's planes, and what assembly reads of it. */
#ifndef NB_DEPTHWISE_COPY_H
#define NB_DEPTHWISE_COPY_H

#include "nb_depthwise_rows_s8.h"
#include "nb_layout.h"

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

NB_FIELD(nb_depthwise_copy, input, NB_COPY_INPUT);
NB_FIELD(nb_depthwise_copy, stride, NB_COPY_STRIDE);
NB_FIELD(nb_depthwise_copy, width, NB_COPY_WIDTH);
NB_FIELD(nb_depthwise_copy, output, NB_COPY_OUTPUT);
NB_FIELD(nb_depthwise_copy, plane, NB_COPY_PLANE);
NB_FIELD(nb_depthwise_copy, rows, NB_COPY_ROWS);
NB_FIELD(nb_depthwise_copy, row_step, NB_COPY_ROW_STEP);

void nb_depthwise_copy_rows(const nb_depthwise_copy *copy);

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

#endif
