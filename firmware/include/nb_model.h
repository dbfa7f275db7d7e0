// SPDX-License-Identifier: Apache-2.0
/* The only door between a generated model and whoever runs it.
 *
 * A generated model.c defines everything declared here. There is one model in a firmware image.
 */
#ifndef NB_MODEL_H
#define NB_MODEL_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum { NB_INT8 = 0, NB_UINT8 = 1 } nb_type;

/* One input or output: real value = scale * (stored value - zero_point). */
typedef struct {
  const char *name;
  nb_type type;
  int32_t rank;     /* how many of shape's entries count */
  int32_t shape[4]; /* NHWC for images */
  uint32_t bytes;
  float scale;
  int32_t zero_point;
} nb_tensor_info;

typedef struct {
  const char *name;
  const char *sha256; /* of the .tflite file that the model was made from, lower-case hex */
  uint32_t arena_bytes;
  uint32_t weights_bytes; /* flash: the weights' own bytes */
  uint32_t tables_bytes;  /* flash: requantization and look-up tables */
  uint32_t input_count;
  uint32_t output_count;
  uint32_t layer_count;
  uint32_t pushed_layers; /* the first ones, which nb_push_row runs: see pushed_rows */
  const nb_tensor_info *inputs;
  const nb_tensor_info *outputs;
  uint32_t row_bytes;   /* of input 0, for nb_push_row */
  uint32_t pushed_rows; /* rows to push before nb_model_invoke; 0: input 0 lies in RAM as a whole */
} nb_model_info;

extern const nb_model_info nb_model;

/* One step of nb_model_invoke: runs `layer` as a whole, or the chain of layers that begins with it
 * and takes turns row by row. Returns the layer of the next step; nb_model.layer_count after the
 * last one. The first step's is nb_model.pushed_layers. */
uint32_t nb_model_run(uint32_t layer);

/* Where to write input `index` before nb_model_invoke; its bytes may be overwritten by it. Of a
 * model with pushed_rows: where to write the next row. */
void *nb_model_input(uint32_t index);

/* Where output `index` lies after nb_model_invoke, until the next input is written. */
const void *nb_model_output(uint32_t index);

/* The next row of input 0, from the top; `row` may be nb_model_input(0), then nothing is copied.
 * A model with pushed_rows computes what the row allows. Returns 1 with the last row: what is left
 * to do is nb_model_invoke. NULL starts an image over. Not reentrant. */
int nb_push_row(const void *row);

/* Bytes of the arena that are in use. A compiled model uses all of it, and need not define this. */
uint32_t nb_model_arena_used(void);

/* One inference: input bytes in place, or all rows pushed -> output bytes. Not reentrant. */
void nb_model_invoke(void);

#ifdef __cplusplus
}
#endif

#endif
