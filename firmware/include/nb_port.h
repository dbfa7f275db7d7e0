// SPDX-License-Identifier: Apache-2.0
/* What the harness needs from a machine. One folder in ports/ implements it; a port knows no
 * model and no kernel. */
#ifndef NB_PORT_H
#define NB_PORT_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* nb_port_read: no byte will ever come again (the host's standard input was closed). */
#define NB_PORT_END (-1)

/* nb_port_lap_ticks: the lap was too long for the counter. */
#define NB_PORT_LAP_OVERFLOW UINT32_MAX

/* Clocks, UART and timers up. Called once, before anything else of the port. */
void nb_port_init(void);

/* Next byte from the host, 0-255; waits for it. NB_PORT_END: never again a byte. */
int nb_port_read(void);

/* One byte to the host; waits while the transmitter is busy. */
void nb_port_write(uint8_t byte);

/* Microseconds since nb_port_init. Monotonic as long as it is called once in every period of
 * the port's timer; nb_port_read does so while it waits. */
uint64_t nb_port_microseconds(void);

/* Start of a timed lap, and core clock ticks since then (NB_PORT_LAP_OVERFLOW: too many; 0: the
 * counter stands still). */
void nb_port_lap_start(void);
uint32_t nb_port_lap_ticks(void);

/* What counts the laps: "dwt" (the core's cycle counter), "systick", or the host's clock. */
const char *nb_port_counter(void);

/* Core clock that the start-up reached, Hz; below the target's where an oscillator failed. What nb_port_lap_ticks counts. */
uint32_t nb_port_clock_hz(void);

/* Bytes reserved for the stack and the most that was ever used of them; both 0 where the
 * operating system owns the stack. */
uint32_t nb_port_stack_bytes(void);
uint32_t nb_port_stack_used(void);

/* Where the program lies in flash, and its bytes; 0 where it lies elsewhere (the host). */
uint32_t nb_port_image(const uint8_t **start);

/* Mark the counted interval of one inference, for an emulator's instruction counter. */
void nb_mark_begin(void);
void nb_mark_end(void);

/* Shows that an inference runs (an LED where the board has one). */
void nb_port_busy(int busy);

#ifdef __cplusplus
}
#endif

#endif
