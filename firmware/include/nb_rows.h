// SPDX-License-Identifier: Apache-2.0
/* Running layers: one as a whole, or a stream of them row by row.
 *
 * A stream is a chain of layers in execution order, with any shortcuts, that compute a few rows as
 * soon as the rows that they need are there. Generated code describes it; how far every layer has
 * come is all the state that it has. The memory plan was made by playing the same steps at compile
 * time, so nothing here checks for room.
 */
#ifndef NB_ROWS_H
#define NB_ROWS_H

#include <stdint.h>

#include "nb_kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What the layers of a stream need beside nb_layer. */
typedef struct {
  uint16_t input_height; /* rows */
  int16_t reach;         /* input rows that n output rows need, less n times the stride */
  uint8_t stride;        /* input rows */
  uint8_t batch;         /* output rows a call, but for the last one */
  uint8_t sources[2];    /* entries of `done` that must reach those input rows: of who makes them,
                            or of who writes the pixels before this layer's in the same rows */
  uint8_t restart;       /* 1 + the last layer that waits for the output, or its own number */
} nb_rows_layer;

typedef struct {
  const nb_rows_layer *layers;
  /* [0] counts the rows of the stream's input, [1 + i] those that layer i has made. */
  uint16_t *done;
  uint16_t count;   /* layers */
  uint16_t restart; /* 1 + the last layer that reads the stream's input */
} nb_stream;

#define NB_ROWS_ALL 65535u

/* Computes the output rows first..last - 1 of a layer. Every layer is run by this function: the
 * emulator's counter tells them apart by what it reads. */
void nb_layer_run(const nb_layer *layer, uint32_t first, uint32_t last);

/* Begins anew, with `rows` rows of the stream's input so far. */
void nb_rows_start(const nb_stream *stream, uint16_t rows);

/* Copies a row of the input, unless it lies where it belongs. */
void nb_rows_copy(void *to, const void *row, uint32_t bytes);

/* Runs the stream's layers, the first of which is `layers`, until none can go on, those near the
 * end of the chain first. */
void nb_rows_run(const nb_layer *layers, const nb_stream *stream);

#ifdef __cplusplus
}
#endif

#endif
