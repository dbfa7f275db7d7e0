/* Row streaming: layers that compute a few rows as soon as the rows that they need are there.
 *
 * A stream is a chain of layers in execution order, with any shortcuts. Generated code describes
 * it; how far every layer has come is all the state that it has. The memory plan was made by
 * playing the same steps at compile time, so nothing here checks for room.
 */
#ifndef NB_ROWS_H
#define NB_ROWS_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
  void (*run)(uint32_t first, uint32_t last); /* computes output rows first..last - 1 */
  uint16_t height;                            /* output rows in all */
  uint16_t input_height;
  int16_t reach;      /* input rows that output row 0 needs; each further one needs stride more */
  uint8_t stride;     /* input rows */
  uint8_t batch;      /* output rows a call, but for the last one */
  uint8_t sources[2]; /* entries of `done` that count the input rows */
  uint8_t restart;    /* 1 + the last layer that reads the output; its own number without one */
  uint8_t reserved;
} nb_rows_layer;

#define NB_ROWS_ALL 65535u

/* Sets `done` for a stream of `count` layers whose input has `rows` rows so far. */
void nb_rows_start(uint16_t *done, uint32_t count, uint16_t rows);

/* Copies a row of the input, unless it lies where it belongs. */
void nb_rows_copy(void *to, const void *row, uint32_t bytes);

/* Runs layers until none can go on, those near the end of the chain first. done[0] counts the
 * rows of the stream's input, done[1 + i] those that layer i has made. */
void nb_rows_run(const nb_rows_layer *layers, uint32_t count, uint16_t *done);

#ifdef __cplusplus
}
#endif

#endif
