// SPDX-License-Identifier: Apache-2.0
/* nb_port.h for nRF52840: UART0 on the board's pins, TIMER0 for the time, an LED. The core runs
 * at 64 MHz always; the crystal makes that (and the UART) exact.
 *
 * The plain UART, not the UARTE: what arrives waits in its queue of six bytes until RXD is read.
 * A receiver by EasyDMA has to be started again after each byte, and a byte between the two writes
 * of that (clear ENDRX, then STARTRX) is lost in Renode's model of it. */
#include "nb_port.h"

#include "nb_chip.h"

#if NB_UART_BAUD != 115200
#error "the port knows the baud rate register's value for 115200 alone"
#endif

#define NB_WAIT_TURNS 200000U

static uint32_t nb_last_count;
static uint64_t nb_elapsed; /* microseconds since nb_port_init */

static uint32_t nb_pin(uint32_t port, uint32_t pin) {
  return port << 5 | pin;
}

static uint32_t nb_count(void) {
  TIMER0_TASKS_CAPTURE0 = 1;
  return TIMER0_CC0;
}

void nb_port_init(void) {
  NVMC_ICACHECNF = NVMC_ICACHECNF_CACHEEN;
  CLOCK_EVENTS_HFCLKSTARTED = 0;
  CLOCK_TASKS_HFCLKSTART = 1;
  for (uint32_t i = 0; i < NB_WAIT_TURNS && CLOCK_EVENTS_HFCLKSTARTED == 0U; i++) {}
  nb_counter_init();

  TIMER0_BITMODE = TIMER_BITMODE_32;
  TIMER0_PRESCALER = TIMER_PRESCALER_1_MHZ;
  TIMER0_CC1 = UINT32_MAX; /* wakes the core once a turn */
  TIMER0_INTENSET = TIMER_INT_COMPARE1;
  TIMER0_TASKS_CLEAR = 1;
  TIMER0_TASKS_START = 1;
  nb_last_count = nb_count();

  GPIO_PIN_CNF(NB_BOARD_LED_PORT, NB_BOARD_LED_PIN) = GPIO_PIN_CNF_OUTPUT;
  nb_port_busy(0);
  GPIO_OUTSET(NB_BOARD_UART_TX_PORT) = 1U << NB_BOARD_UART_TX_PIN; /* an idle line is high */
  GPIO_PIN_CNF(NB_BOARD_UART_TX_PORT, NB_BOARD_UART_TX_PIN) = GPIO_PIN_CNF_OUTPUT;
  GPIO_PIN_CNF(NB_BOARD_UART_RX_PORT, NB_BOARD_UART_RX_PIN) = GPIO_PIN_CNF_INPUT_PULL_UP;
  UART0_PSEL_TXD = nb_pin(NB_BOARD_UART_TX_PORT, NB_BOARD_UART_TX_PIN);
  UART0_PSEL_RXD = nb_pin(NB_BOARD_UART_RX_PORT, NB_BOARD_UART_RX_PIN);
  UART0_BAUDRATE = UART_BAUD_115200;
  UART0_ENABLE = UART_ENABLE;
  UART0_INTENSET = UART_INT_RXDRDY;
  UART0_EVENTS_RXDRDY = 0;
  UART0_TASKS_STARTTX = 1;
  UART0_TASKS_STARTRX = 1;
}

uint64_t nb_port_microseconds(void) {
  uint32_t count = nb_count();
  nb_elapsed += count - nb_last_count; /* modulo 2^32: right across one turn (71 minutes) */
  nb_last_count = count;
  return nb_elapsed;
}

/* Sleeps while nothing arrives; see ports/mps2/port.c. */
int nb_port_read(void) {
  for (;;) {
    TIMER0_EVENTS_COMPARE1 = 0;
    nb_irq_clear(UART0_IRQ);
    nb_irq_clear(TIMER0_IRQ);
    if (UART0_EVENTS_RXDRDY != 0U) {
      UART0_EVENTS_RXDRDY = 0; /* before RXD is read, which brings the next byte's event */
      return (int)(UART0_RXD & 0xFFU);
    }
    (void)nb_port_microseconds();
    nb_sleep(UART0_IRQ, TIMER0_IRQ);
  }
}

void nb_port_write(uint8_t byte) {
  UART0_EVENTS_TXDRDY = 0;
  UART0_TXD = byte;
  while (UART0_EVENTS_TXDRDY == 0U) {}
}

uint32_t nb_port_clock_hz(void) {
  return NB_CLOCK_HZ;
}

void nb_port_busy(int busy) {
  if ((busy != 0) == (NB_BOARD_LED_ON != 0)) {
    GPIO_OUTSET(NB_BOARD_LED_PORT) = 1U << NB_BOARD_LED_PIN;
  } else {
    GPIO_OUTCLR(NB_BOARD_LED_PORT) = 1U << NB_BOARD_LED_PIN;
  }
}
