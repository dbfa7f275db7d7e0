// SPDX-License-Identifier: Apache-2.0
/* See check.h. */
#include "check.h"

static void run_item(const checked_model *model, const uint8_t *item) {
  for (uint32_t row = 0; row < model->info->pushed_rows; row++) {
    model->push_row(item);
    item += model->info->row_bytes;
  }
  for (uint32_t i = model->info->pushed_rows != 0; i < model->info->input_count; i++) {
    uint8_t *input = model->input(i);
    for (uint32_t b = 0; b < model->info->inputs[i].bytes; b++) input[b] = *item++;
  }
  model->invoke();
}

static int differs(const checked_model *model, const uint8_t *wanted) {
  int found = 0;
  for (uint32_t i = 0; i < model->info->output_count; i++) {
    const uint8_t *output = model->output(i);
    for (uint32_t b = 0; b < model->info->outputs[i].bytes; b++) found |= output[b] != *wanted++;
  }
  return found;
}

static uint32_t total(const nb_tensor_info *infos, uint32_t count) {
  uint32_t bytes = 0;
  for (uint32_t i = 0; i < count; i++) bytes += infos[i].bytes;
  return bytes;
}

int check_models(int *item) {
  for (int number = 0; checked_models[number] != 0; number++) {
    const checked_model *model = checked_models[number];
    const uint32_t in = total(model->info->inputs, model->info->input_count);
    const uint32_t out = total(model->info->outputs, model->info->output_count);
    for (uint32_t i = 0; i < checked_items; i++) {
      *item = (int)i;
      run_item(model, model->items + i * in);
      if (differs(model, model->wanted + i * out)) return number;
    }
  }
  return -1;
}
