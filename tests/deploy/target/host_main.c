// SPDX-License-Identifier: Apache-2.0
/* The host's side: says the same as startup.c does on a target. */
#include <stdio.h>

#include "check.h"

int main(void) {
  int item = 0;
  const int model = check_models(&item);
  if (model >= 0) {
    printf("model %d item %d\n", model, item);
  } else {
    printf("equal\n");
  }
  return 0;
}
