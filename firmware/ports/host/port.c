// SPDX-License-Identifier: Apache-2.0
/* The harness as an ordinary program: commands on standard input, answers on standard output.
 * Tests and fuzzers drive the same code that runs on the boards. */
#define _POSIX_C_SOURCE 200809L

#include "nb_port.h"

#include <stdio.h>
#include <time.h>

static uint64_t nb_start;
static uint64_t nb_lap;

static uint64_t nb_nanoseconds(void) {
  struct timespec now;
  (void)clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

void nb_port_init(void) {
  nb_start = nb_nanoseconds();
}

int nb_port_read(void) {
  int byte = getc(stdin);
  if (byte == EOF) {
    (void)fflush(stdout);
    return NB_PORT_END;
  }
  return byte;
}

/* A line at a time: whoever waits for an answer waits for the end of a line. */
void nb_port_write(uint8_t byte) {
  (void)putc(byte, stdout);
  if (byte == '\n') {
    (void)fflush(stdout);
  }
}

uint64_t nb_port_microseconds(void) {
  return (nb_nanoseconds() - nb_start) / 1000U;
}

void nb_port_lap_start(void) {
  nb_lap = nb_nanoseconds();
}

uint32_t nb_port_lap_ticks(void) {
  uint64_t ticks = nb_nanoseconds() - nb_lap;
  return ticks >= NB_PORT_LAP_OVERFLOW ? NB_PORT_LAP_OVERFLOW : (uint32_t)ticks;
}

const char *nb_port_counter(void) {
  return "clock_gettime";
}

uint32_t nb_port_clock_hz(void) {
  return 1000000000U; /* ticks are nanoseconds here */
}

uint32_t nb_port_stack_bytes(void) {
  return 0;
}

uint32_t nb_port_stack_used(void) {
  return 0;
}

uint32_t nb_port_image(const uint8_t **start) {
  *start = 0;
  return 0;
}

void nb_port_busy(int busy) {
  (void)busy;
}

/* Nothing counts instructions here. */
void nb_mark_begin(void) {}

void nb_mark_end(void) {}
