// SPDX-License-Identifier: Apache-2.0
/* Models in one program, each beside its inputs and the outputs that it must give. */
#ifndef CHECK_H
#define CHECK_H

#include "nb_model.h"

typedef struct {
  const nb_model_info *info;
  void *(*input)(uint32_t index);
  const void *(*output)(uint32_t index);
  int (*push_row)(const void *row);
  void (*invoke)(void);
  const uint8_t *items, *wanted; /* for every item the bytes of all inputs or outputs */
} checked_model;

extern const checked_model *const checked_models[]; /* ends with a null pointer */
extern const uint32_t checked_items;

/* The first model that differs, -1 for none; `item` says in which item. */
int check_models(int *item);

#endif
