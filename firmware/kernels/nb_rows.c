/* See nb_rows.h. */
#include "nb_rows.h"

#include <string.h>

void nb_rows_start(uint16_t *done, uint32_t count, uint16_t rows) {
  done[0] = rows;
  for (uint32_t i = 1; i <= count; i++) done[i] = 0;
}

void nb_rows_copy(void *to, const void *row, uint32_t bytes) {
  if (to != row) memcpy(to, row, bytes);
}

void nb_rows_run(const nb_rows_layer *layers, uint32_t count, uint16_t *done) {
  /* No layer from `i` on can go on: only those that read what a layer has made become able to. */
  for (uint32_t i = count; i != 0;) {
    const nb_rows_layer *layer = &layers[i - 1];
    const uint32_t first = done[i];
    uint32_t last = first + layer->batch;
    if (last > layer->height) last = layer->height;
    int32_t needed = (int32_t)((last - 1) * layer->stride) + layer->reach;
    if (needed > layer->input_height) needed = layer->input_height;
    if (first == last || done[layer->sources[0]] < needed || done[layer->sources[1]] < needed) {
      i--;
      continue;
    }
    layer->run(first, last);
    done[i] = (uint16_t)last;
    i = layer->restart;
  }
}
