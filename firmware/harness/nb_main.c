// SPDX-License-Identifier: Apache-2.0
#include "nb_harness.h"
#include "nb_port.h"

int main(void) {
  nb_port_init();
  nb_harness_run();
  return 0;
}
