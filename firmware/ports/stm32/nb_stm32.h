// SPDX-License-Identifier: Apache-2.0
/* What the STM32 families have in common: GPIO, TIM2 and how their ports are cut.
 *
 * ports/<family>/nb_chip.h has the family's addresses, ports/<family>/clock.c its start-up; this
 * folder does the rest. Register maps: reference manuals RM0090 and RM0390 (F4), RM0385 (F7),
 * RM0433 and RM0399 (H7), RM0432 (L4+), chapters GPIO, USART and TIM2; they agree in what is used
 * here. */
#ifndef NB_STM32_H
#define NB_STM32_H

#include "nb_cortex_m.h"

#define NB_GPIO_BYTES 0x400U /* from one GPIO port to the next */
#define NB_GPIO_PULL_UP 1U
#define NB_GPIO_OUTPUT 1U
#define NB_GPIO_ALTERNATE 2U

/* TIM2 is a 32-bit counter at the same place in every family, with interrupt 28. */
#define NB_TIM2_BASE 0x40000000U
#define NB_TIM2_CR1 NB_REGISTER(NB_TIM2_BASE + 0x00U)
#define NB_TIM2_DIER NB_REGISTER(NB_TIM2_BASE + 0x0CU)
#define NB_TIM2_SR NB_REGISTER(NB_TIM2_BASE + 0x10U)
#define NB_TIM2_EGR NB_REGISTER(NB_TIM2_BASE + 0x14U)
#define NB_TIM2_CNT NB_REGISTER(NB_TIM2_BASE + 0x24U)
#define NB_TIM2_PSC NB_REGISTER(NB_TIM2_BASE + 0x28U)
#define NB_TIM2_ARR NB_REGISTER(NB_TIM2_BASE + 0x2CU)
#define NB_TIM2_IRQ 28U
#define NB_TIM_ENABLE 1U
#define NB_TIM_UPDATE 1U

/* Frequencies in Hz that the start-up reached; timer_hz drives TIM2. */
typedef struct {
  uint32_t core_hz;
  uint32_t apb1_hz;
  uint32_t apb2_hz;
  uint32_t timer_hz;
} nb_clocks;

/* The family's clock.c: full speed, wait states, caches. Where the oscillator or the PLL does not
 * start it stays on the internal oscillator, and the boot banner tells the clock that is left. */
nb_clocks nb_chip_clocks_on(void);

/* Waits until `mask` of a register reads `value`; 0: it did not within about a tenth of a second. */
int nb_wait_for(volatile const uint32_t *address, uint32_t mask, uint32_t value);

#endif
