// SPDX-License-Identifier: Apache-2.0
/* What the exported sample uses of Zephyr. */
#ifndef ZEPHYR_KERNEL_H
#define ZEPHYR_KERNEL_H

#include <stdint.h>

uint32_t k_cycle_get_32(void);
void printk(const char *format, ...);

#endif
