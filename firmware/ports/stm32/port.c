// SPDX-License-Identifier: Apache-2.0
/* nb_port.h for every STM32: UART on the board's pins, TIM2 for the time, an LED. Which UART and
 * which pins is the target file's [board] table. */
#include "nb_port.h"

#include "nb_chip.h"

#if !defined(NB_CLOCK_HZ) || !defined(NB_UART_BAUD) || !defined(NB_BOARD_UART)
#error "NB_CLOCK_HZ, NB_UART_BAUD, NB_BOARD_*: the build gives them from the target file"
#endif

#define NB_PASTE3(a, b, c) a##b##c
#define NB_UART_PART(uart, part) NB_PASTE3(NB_, uart, part)
#define NB_UART(part) NB_UART_PART(NB_BOARD_UART, part) /* NB_UART(_BASE) is NB_USART2_BASE */

#define NB_STATUS_OVERRUN (1U << 3)
#define NB_STATUS_RX_FULL (1U << 5)
#define NB_STATUS_TX_EMPTY (1U << 7)
#define NB_WAIT_TURNS 100000U

static nb_clocks nb_clock;
static uint32_t nb_last_count;
static uint64_t nb_elapsed; /* microseconds since nb_port_init */

int nb_wait_for(volatile const uint32_t *address, uint32_t mask, uint32_t value) {
  for (uint32_t i = 0; i < NB_WAIT_TURNS; i++) {
    if ((*address & mask) == value) {
      return 1;
    }
  }
  return 0;
}

static volatile uint32_t *nb_gpio(uint32_t port, uint32_t offset) {
  return &NB_REGISTER(NB_CHIP_GPIO + NB_GPIO_BYTES * port + offset);
}

static void nb_pin_field(volatile uint32_t *address, uint32_t place, uint32_t bits,
                         uint32_t value) {
  uint32_t mask = ((1U << bits) - 1U) << (place * bits);
  *address = (*address & ~mask) | value << (place * bits);
}

static void nb_pin_mode(uint32_t port, uint32_t pin, uint32_t mode) {
  NB_CHIP_GPIO_ENABLE |= 1U << port;
  (void)NB_CHIP_GPIO_ENABLE; /* the port's clock runs two cycles later */
  nb_pin_field(nb_gpio(port, 0x00U), pin, 2, mode);
}

static void nb_pin_to_uart(uint32_t port, uint32_t pin) {
  nb_pin_mode(port, pin, NB_GPIO_ALTERNATE);
  nb_pin_field(nb_gpio(port, 0x0CU), pin, 2, NB_GPIO_PULL_UP); /* an open line is no noise */
  nb_pin_field(nb_gpio(port, 0x20U + 4U * (pin / 8U)), pin % 8U, 4, NB_BOARD_UART_AF);
}

void nb_port_init(void) {
  nb_clock = nb_chip_clocks_on();
  nb_counter_init();

  NB_CHIP_TIM2_ENABLE |= 1U;
  (void)NB_CHIP_TIM2_ENABLE;
  NB_TIM2_PSC = nb_clock.timer_hz / 1000000U - 1U;
  NB_TIM2_ARR = UINT32_MAX;
  NB_TIM2_EGR = NB_TIM_UPDATE; /* loads the prescaler, sets the counter to 0 */
  NB_TIM2_SR = 0;
  NB_TIM2_DIER = NB_TIM_UPDATE;
  NB_TIM2_CR1 = NB_TIM_ENABLE;
  nb_last_count = NB_TIM2_CNT;

  nb_pin_mode(NB_BOARD_LED_PORT, NB_BOARD_LED_PIN, NB_GPIO_OUTPUT);
  nb_port_busy(0);

  NB_UART(_ENABLE) |= NB_UART(_ENABLE_BIT);
  (void)NB_UART(_ENABLE);
  nb_pin_to_uart(NB_BOARD_UART_TX_PORT, NB_BOARD_UART_TX_PIN);
  nb_pin_to_uart(NB_BOARD_UART_RX_PORT, NB_BOARD_UART_RX_PIN);
  /* clock * scale / baud, rounded, within 32 bits. */
  uint32_t whole = NB_UART(_CLOCK) / NB_UART_BAUD;
  uint32_t rest = NB_UART(_CLOCK) % NB_UART_BAUD;
  NB_USART_BRR(NB_UART(_BASE)) =
      whole * NB_UART(_BRR_SCALE) + (rest * NB_UART(_BRR_SCALE) + NB_UART_BAUD / 2U) / NB_UART_BAUD;
  NB_USART_CR1(NB_UART(_BASE)) = NB_USART_ON;
}

uint64_t nb_port_microseconds(void) {
  uint32_t count = NB_TIM2_CNT;
  nb_elapsed += count - nb_last_count; /* modulo 2^32: right across one turn (71 minutes) */
  nb_last_count = count;
  return nb_elapsed;
}

/* Sleeps while nothing arrives; see ports/mps2/port.c. */
int nb_port_read(void) {
  for (;;) {
    NB_TIM2_SR = 0;
    nb_irq_clear(NB_UART(_IRQ));
    nb_irq_clear(NB_TIM2_IRQ);
    uint32_t status = NB_USART_STATUS(NB_UART(_BASE));
    if ((status & NB_STATUS_RX_FULL) != 0U) {
      return (int)(NB_USART_RX(NB_UART(_BASE)) & 0xFFU);
    }
    if ((status & NB_STATUS_OVERRUN) != 0U) {
      NB_USART_CLEAR_OVERRUN(NB_UART(_BASE));
    }
    (void)nb_port_microseconds();
    nb_sleep(NB_UART(_IRQ), NB_TIM2_IRQ);
  }
}

void nb_port_write(uint8_t byte) {
  while ((NB_USART_STATUS(NB_UART(_BASE)) & NB_STATUS_TX_EMPTY) == 0U) {}
  NB_USART_TX(NB_UART(_BASE)) = byte;
}

uint32_t nb_port_clock_hz(void) {
  return nb_clock.core_hz;
}

void nb_port_busy(int busy) {
  uint32_t high = (busy != 0) == (NB_BOARD_LED_ON != 0) ? 1U : 0U;
  *nb_gpio(NB_BOARD_LED_PORT, 0x18U) = 1U << (NB_BOARD_LED_PIN + (high != 0U ? 0U : 16U));
}
