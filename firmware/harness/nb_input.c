// SPDX-License-Identifier: Apache-2.0
#include "nb_input.h"

#include "nb_model.h"

uint32_t nb_input_bytes(void) {
  uint32_t total = 0;
  for (uint32_t i = 0; i < nb_model.input_count; i++) {
    total += nb_model.inputs[i].bytes;
  }
  return total;
}

/* Of a model whose rows are pushed it is the next row. */
uint32_t nb_resident_bytes(void) {
  return nb_model.pushed_rows != 0U ? nb_model.row_bytes : nb_input_bytes();
}

uint8_t *nb_input_byte(uint32_t offset) {
  uint32_t index = 0;
  if (nb_model.pushed_rows != 0U) {
    return (uint8_t *)nb_model_input(0) + offset % nb_model.row_bytes;
  }
  while (offset >= nb_model.inputs[index].bytes) {
    offset -= nb_model.inputs[index].bytes;
    index++;
  }
  return (uint8_t *)nb_model_input(index) + offset;
}

/* FNV-1a over the input tensors: tells whether an inference wrote over its input, as it may
 * where the memory plan gives the input's place to a later tensor. */
uint32_t nb_input_fingerprint(void) {
  uint32_t hash = 2166136261U;
  uint32_t total = nb_resident_bytes();
  for (uint32_t i = 0; i < total; i++) {
    hash = (hash ^ *nb_input_byte(i)) * 16777619U;
  }
  return hash;
}
