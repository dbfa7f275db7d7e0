// SPDX-License-Identifier: Apache-2.0
/* See nb_rows.h. */
#include "nb_rows.h"

#include <string.h>

#ifndef __thumb__ /* There it is nb_layer_run.S. */
void nb_layer_run(const nb_layer *layer, uint32_t first, uint32_t last) {
  layer->kernel(layer, first, last);
}
#endif

void nb_rows_start(const nb_stream *stream, uint16_t rows) {
  stream->done[0] = rows;
  for (uint32_t i = 1; i <= stream->count; i++) stream->done[i] = 0;
}

void nb_rows_copy(void *to, const void *row, uint32_t bytes) {
  if (to != row) memcpy(to, row, bytes);
}

void nb_rows_run(const nb_layer *layers, const nb_stream *stream) {
  uint16_t *done = stream->done;
  /* No layer from `i` on can go on: only those that read what has been made become able to. */
  for (uint32_t i = stream->restart; i-- != 0;) {
    const nb_rows_layer *rows = &stream->layers[i];
    const uint32_t first = done[1 + i];
    uint32_t last = layers[i].height;
    if (first == last) continue;
    if (first + rows->batch < last) last = first + rows->batch;
    int32_t needed = (int32_t)(last * rows->stride) + rows->reach;
    if (needed > rows->input_height) needed = rows->input_height;
    if (done[rows->sources[0]] < needed || done[rows->sources[1]] < needed) continue;
    nb_layer_run(&layers[i], first, last);
    done[1 + i] = (uint16_t)last;
    i = rows->restart;
  }
}
