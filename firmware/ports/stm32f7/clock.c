// SPDX-License-Identifier: Apache-2.0
/* Full speed from the external oscillator: RM0385, chapters 3 (FLASH), 4 (PWR) and 5 (RCC). Seven
 * wait states serve 216 MHz at 2.7-3.6 V, which also needs the over-drive. The core's caches are
 * on; the ART accelerator serves whoever reads the flash through the ITCM bus. */
#include "nb_chip.h"

#define NB_PLL_Q 9U /* feeds USB and SDMMC, which are not used; any value from 2 on is valid */
#define NB_PLL_R 2U /* reserved in the F746, where it has to keep this value of reset */

_Static_assert(NB_BOARD_HSE_HZ / NB_BOARD_PLL_M * NB_BOARD_PLL_N / NB_BOARD_PLL_P == NB_CLOCK_HZ,
               "the target file's PLL does not give its clock_hz");

nb_clocks nb_chip_clocks_on(void) {
  const nb_clocks internal = {NB_CHIP_HSI_HZ, NB_CHIP_HSI_HZ, NB_CHIP_HSI_HZ, NB_CHIP_HSI_HZ};
  nb_cortex_m7_on();
  RCC_APB1ENR |= RCC_APB1ENR_PWREN;
  if (NB_BOARD_HSE_BYPASS != 0) {
    RCC_CR |= RCC_CR_HSEBYP;
  }
  RCC_CR |= RCC_CR_HSEON;
  if (nb_wait_for(&RCC_CR, RCC_CR_HSERDY, RCC_CR_HSERDY) == 0) {
    return internal;
  }
  RCC_PLLCFGR = NB_BOARD_PLL_M | NB_BOARD_PLL_N << 6 | (NB_BOARD_PLL_P / 2U - 1U) << 16 |
                RCC_PLLCFGR_PLLSRC_HSE | NB_PLL_Q << 24 | NB_PLL_R << 28;
  RCC_CR |= RCC_CR_PLLON;
  PWR_CR1 |= PWR_CR1_ODEN;
  if (nb_wait_for(&PWR_CSR1, PWR_CSR1_ODRDY, PWR_CSR1_ODRDY) == 0) {
    return internal;
  }
  PWR_CR1 |= PWR_CR1_ODSWEN;
  if (nb_wait_for(&PWR_CSR1, PWR_CSR1_ODSWRDY, PWR_CSR1_ODSWRDY) == 0 ||
      nb_wait_for(&RCC_CR, RCC_CR_PLLRDY, RCC_CR_PLLRDY) == 0) {
    return internal;
  }
  FLASH_ACR = FLASH_ACR_PRFTEN | FLASH_ACR_ARTEN | NB_BOARD_FLASH_LATENCY;
  (void)FLASH_ACR; /* the new wait states hold before the clock rises */
  RCC_CFGR = RCC_CFGR_PPRE1_DIV4 | RCC_CFGR_PPRE2_DIV2;
  RCC_CFGR |= RCC_CFGR_SW_PLL;
  if (nb_wait_for(&RCC_CFGR, RCC_CFGR_SWS, RCC_CFGR_SWS_PLL) == 0) {
    return internal;
  }
  return (nb_clocks){NB_CLOCK_HZ, NB_CLOCK_HZ / 4U, NB_CLOCK_HZ / 2U, NB_CLOCK_HZ / 2U};
}
