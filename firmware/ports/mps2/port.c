// SPDX-License-Identifier: Apache-2.0
#include "nb_port.h"

#include "mps2.h"

#ifndef NB_CLOCK_HZ
#error "NB_CLOCK_HZ: the build gives the target's clock"
#endif

#define TICKS_A_MICROSECOND (NB_CLOCK_HZ / 1000000U)
#if NB_CLOCK_HZ % 1000000U != 0
#error "a clock of whole MHz is needed"
#endif

static uint32_t nb_last_count;
static uint64_t nb_microseconds; /* since nb_port_init */
static uint32_t nb_rest;         /* timer ticks beyond them */

void nb_port_init(void) {
  MPS2_UART0_BAUDDIV = NB_CLOCK_HZ / MPS2_UART_BAUD;
  MPS2_UART0_CTRL = MPS2_UART_TX_ENABLE | MPS2_UART_RX_ENABLE | MPS2_UART_RX_INTERRUPT;
  (void)MPS2_UART0_DATA; /* drops a stale byte; QEMU takes input only from such a read on */
  MPS2_TIMER0_RELOAD = UINT32_MAX;
  MPS2_TIMER0_VALUE = UINT32_MAX;
  MPS2_TIMER0_CTRL = MPS2_TIMER_ENABLE | MPS2_TIMER_INTERRUPT;
  nb_last_count = UINT32_MAX;
}

uint64_t nb_port_microseconds(void) {
  uint32_t count = MPS2_TIMER0_VALUE;
  uint32_t ticks = nb_last_count - count; /* modulo 2^32: right across one turn (171 s) */
  nb_last_count = count;
  /* In steps of 32 bits: a division of 64 takes 760 bytes of flash. */
  nb_rest += ticks % TICKS_A_MICROSECOND;
  nb_microseconds += ticks / TICKS_A_MICROSECOND + nb_rest / TICKS_A_MICROSECOND;
  nb_rest %= TICKS_A_MICROSECOND;
  return nb_microseconds;
}

/* Sleeps while nothing arrives: a loop that polls the UART would keep an emulator so busy with
 * register accesses that it gets round to the incoming bytes late, or not at all. The timer's
 * interrupt, at each turn, keeps nb_port_microseconds right through a long silence. */
int nb_port_read(void) {
  for (;;) {
    MPS2_UART0_INTCLEAR = MPS2_UART_INT_RX;
    MPS2_TIMER0_INTCLEAR = 1U;
    nb_irq_clear(MPS2_UART0_RX_IRQ);
    nb_irq_clear(MPS2_TIMER0_IRQ);
    if ((MPS2_UART0_STATE & MPS2_UART_RX_FULL) != 0U) {
      return (int)(MPS2_UART0_DATA & 0xFFU);
    }
    (void)nb_port_microseconds();
    nb_sleep(MPS2_UART0_RX_IRQ, MPS2_TIMER0_IRQ);
  }
}

void nb_port_write(uint8_t byte) {
  while ((MPS2_UART0_STATE & MPS2_UART_TX_FULL) != 0U) {}
  MPS2_UART0_DATA = byte;
}

uint32_t nb_port_clock_hz(void) {
  return NB_CLOCK_HZ;
}

void nb_port_busy(int busy) {
  MPS2_LEDS = busy != 0 ? 1U : 0U;
}
