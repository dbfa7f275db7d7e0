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
  const nb_tensor_info *inputs;
  const nb_tensor_info *outputs;
  const char *const *layer_names; /* layer i is the function nb_layer_iii */
} nb_model_info;

extern const nb_model_info nb_model;

/* Where to write input `index` before nb_model_invoke; its bytes may be overwritten by it. */
void *nb_model_input(uint32_t index);

/* Where output `index` lies after nb_model_invoke, until the next input is written. */
const void *nb_model_output(uint32_t index);

/* One inference: input bytes in place -> output bytes. Not reentrant. */
void nb_model_invoke(void);

#ifdef __cplusplus
}
#endif

#endif
