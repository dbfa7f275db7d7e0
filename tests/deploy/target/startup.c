// SPDX-License-Identifier: Apache-2.0
/* The least that runs many generated models on QEMU: vectors, and results by semihosting. */
#include "check.h"

extern uint32_t stack_top;

void *memcpy(void *to, const void *from, unsigned count) {
  for (unsigned i = 0; i < count; i++) ((volatile char *)to)[i] = ((const char *)from)[i];
  return to;
}

void *memset(void *to, int value, unsigned count) {
  for (unsigned i = 0; i < count; i++) ((volatile char *)to)[i] = (char)value;
  return to;
}

static int semihost(int operation, const void *argument) {
  register int r0 __asm__("r0") = operation;
  register const void *r1 __asm__("r1") = argument;
  __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
  return r0;
}

static void put_number(int value) {
  char text[12];
  int at = 11;
  text[at] = 0;
  do {
    text[--at] = (char)('0' + value % 10);
    value /= 10;
  } while (value);
  semihost(0x04, text + at);
}

static void finish(int code) {
  const uint32_t arguments[2] = {0x20026, (uint32_t)code};
  semihost(0x20, arguments);
  for (;;) {}
}

static void reset(void) {
#ifdef __ARM_FP
  *(volatile uint32_t *)0xE000ED88u |= 0xFu << 20;
  __asm__ volatile("dsb\n\tisb");
#endif
  int item = 0;
  const int model = check_models(&item);
  if (model >= 0) {
    semihost(0x04, "model ");
    put_number(model);
    semihost(0x04, " item ");
    put_number(item);
  } else {
    semihost(0x04, "equal");
  }
  finish(0);
}

static void fault(void) {
  semihost(0x04, "fault");
  finish(1);
}

__attribute__((section(".vectors"), used)) static const void *const vectors[16] = {
    &stack_top,          (const void *)reset, (const void *)fault, (const void *)fault,
    (const void *)fault, (const void *)fault, (const void *)fault};
