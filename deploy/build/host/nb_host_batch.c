// SPDX-License-Identifier: Apache-2.0
/* Runs a generated model over many inputs on the host.
 *
 * An item is the bytes of all inputs in their order; its result the bytes of all outputs. Built as
 * a shared library for ctypes; with NB_HOST_MAIN as a program, which is how sanitizers can see it.
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "nb_model.h"

void nb_host_batch(const uint8_t *items, uint8_t *results, uint32_t count);

void nb_host_batch(const uint8_t *items, uint8_t *results, uint32_t count) {
  for (uint32_t item = 0; item < count; item++) {
    for (uint32_t i = 0; i < nb_model.input_count; i++) {
      if (nb_model.pushed_rows != 0) break;
      memcpy(nb_model_input(i), items, nb_model.inputs[i].bytes);
      items += nb_model.inputs[i].bytes;
    }
    for (uint32_t row = 0; row < nb_model.pushed_rows; row++, items += nb_model.row_bytes) {
      nb_push_row(items);
    }
    nb_model_invoke();
    for (uint32_t i = 0; i < nb_model.output_count; i++) {
      memcpy(results, nb_model_output(i), nb_model.outputs[i].bytes);
      results += nb_model.outputs[i].bytes;
    }
  }
}

#ifdef NB_HOST_MAIN
static void describe(const char *what, uint32_t count, const nb_tensor_info *infos) {
  for (uint32_t i = 0; i < count; i++) {
    printf("%s %d", what, (int)infos[i].type);
    for (int32_t axis = 0; axis < infos[i].rank; axis++) printf(" %d", (int)infos[i].shape[axis]);
    printf("\n");
  }
}

/* Without arguments: items from stdin, results to stdout, until the end of stdin. */
int main(int argc, char **argv) {
  (void)argv;
  if (argc > 1) {
    describe("input", nb_model.input_count, nb_model.inputs);
    describe("output", nb_model.output_count, nb_model.outputs);
    return 0;
  }
  for (;;) {
    for (uint32_t i = 0; i < nb_model.input_count && nb_model.pushed_rows == 0; i++) {
      if (fread(nb_model_input(i), nb_model.inputs[i].bytes, 1, stdin) != 1) return 0;
    }
    for (uint32_t row = 0; row < nb_model.pushed_rows; row++) {
      if (fread(nb_model_input(0), nb_model.row_bytes, 1, stdin) != 1) return 0;
      nb_push_row(nb_model_input(0));
    }
    nb_model_invoke();
    for (uint32_t i = 0; i < nb_model.output_count; i++) {
      if (fwrite(nb_model_output(i), nb_model.outputs[i].bytes, 1, stdout) != 1) return 1;
    }
  }
}
#endif
