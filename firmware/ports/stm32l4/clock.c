// SPDX-License-Identifier: Apache-2.0
/* 120 MHz from the internal multi-speed oscillator: RM0432, chapters 3 (FLASH), 5 (PWR), 6 (RCC).
 * More than 80 MHz takes the boost mode of voltage range 1, five wait states, and a step through
 * half the frequency. The UART's pins on port G have a supply of their own, VDDIO2. */
#include "nb_chip.h"

#define NB_STEP_TURNS 200U /* at least 1 us at half speed */

_Static_assert(NB_CHIP_MSI_HZ / NB_BOARD_PLL_M * NB_BOARD_PLL_N / NB_BOARD_PLL_R == NB_CLOCK_HZ,
               "the target file's PLL does not give its clock_hz");

nb_clocks nb_chip_clocks_on(void) {
  const nb_clocks internal = {NB_CHIP_MSI_HZ, NB_CHIP_MSI_HZ, NB_CHIP_MSI_HZ, NB_CHIP_MSI_HZ};
  FLASH_ACR = FLASH_ACR_PRFTEN | FLASH_ACR_ICEN | FLASH_ACR_DCEN | NB_BOARD_FLASH_LATENCY;
  RCC_APB1ENR1 |= RCC_APB1ENR1_PWREN;
  (void)RCC_APB1ENR1;
  PWR_CR2 |= PWR_CR2_IOSV;
  if (nb_wait_for(&RCC_CR, RCC_CR_MSIRDY, RCC_CR_MSIRDY) == 0) {
    return internal;
  }
  RCC_PLLCFGR = RCC_PLLCFGR_PLLSRC_MSI | (NB_BOARD_PLL_M - 1U) << 4 | NB_BOARD_PLL_N << 8 |
                RCC_PLLCFGR_PLLREN | (NB_BOARD_PLL_R / 2U - 1U) << 25;
  RCC_CR |= RCC_CR_PLLON;
  if (nb_wait_for(&RCC_CR, RCC_CR_PLLRDY, RCC_CR_PLLRDY) == 0) {
    return internal;
  }
  PWR_CR5 &= ~PWR_CR5_R1MODE;
  (void)FLASH_ACR;
  RCC_CFGR = RCC_CFGR_HPRE_DIV2;
  RCC_CFGR |= RCC_CFGR_SW_PLL;
  if (nb_wait_for(&RCC_CFGR, RCC_CFGR_SWS, RCC_CFGR_SWS_PLL) == 0) {
    RCC_CFGR = 0;
    return internal;
  }
  for (uint32_t i = 0; i < NB_STEP_TURNS; i++) {
    (void)RCC_CFGR;
  }
  RCC_CFGR &= ~RCC_CFGR_HPRE;
  return (nb_clocks){NB_CLOCK_HZ, NB_CLOCK_HZ, NB_CLOCK_HZ, NB_CLOCK_HZ};
}
