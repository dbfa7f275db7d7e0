// SPDX-License-Identifier: Apache-2.0
/* 480 MHz: RM0433 and RM0399, chapters 4 (FLASH), 6 (PWR) and 8 (RCC). It takes voltage scale 0:
 * first scale 1, then the over-drive in SYSCFG. The buses run at 240 MHz, for which the flash
 * needs four wait states and WRHIGHFREQ 2.
 *
 * A boot loader may run before this firmware. So the chip is first brought back to its internal
 * oscillator, and the supply, which may be configured once after power-up only, is left to the
 * loader where the target file says so. */
#include "nb_chip.h"

#if NB_BOARD_HSE_HZ != 0
#define NB_PLL_INPUT_HZ NB_BOARD_HSE_HZ
#define NB_PLL_SOURCE RCC_PLLCKSELR_PLLSRC_HSE
#else
#define NB_PLL_INPUT_HZ NB_CHIP_HSI_HZ
#define NB_PLL_SOURCE RCC_PLLCKSELR_PLLSRC_HSI
#endif

_Static_assert(NB_PLL_INPUT_HZ / NB_BOARD_PLL_M * NB_BOARD_PLL_N / NB_BOARD_PLL_P == NB_CLOCK_HZ,
               "the target file's PLL does not give its clock_hz");
_Static_assert(NB_PLL_INPUT_HZ / NB_BOARD_PLL_M >= 4000000U &&
                   NB_PLL_INPUT_HZ / NB_BOARD_PLL_M <= 8000000U,
               "PLL1RGE is set for 4-8 MHz");

static int nb_oscillator_on(void) {
  if (NB_BOARD_HSE_HZ == 0U) {
    return 1;
  }
  if (NB_BOARD_HSE_BYPASS != 0) {
    RCC_CR |= RCC_CR_HSEBYP;
  }
  RCC_CR |= RCC_CR_HSEON;
  return nb_wait_for(&RCC_CR, RCC_CR_HSERDY, RCC_CR_HSERDY);
}

static int nb_voltage_scale_0(void) {
  if (NB_BOARD_SUPPLY_BY_LOADER == 0) {
    PWR_CR3 = (PWR_CR3 & ~(PWR_CR3_SCUEN | PWR_CR3_BYPASS)) | PWR_CR3_LDOEN;
    if (nb_wait_for(&PWR_CSR1, PWR_CSR1_ACTVOSRDY, PWR_CSR1_ACTVOSRDY) == 0) {
      return 0;
    }
  }
  PWR_D3CR |= PWR_D3CR_VOS;
  if (nb_wait_for(&PWR_D3CR, PWR_D3CR_VOSRDY, PWR_D3CR_VOSRDY) == 0) {
    return 0;
  }
  RCC_APB4ENR |= RCC_APB4ENR_SYSCFGEN;
  (void)RCC_APB4ENR;
  SYSCFG_PWRCR |= SYSCFG_PWRCR_ODEN;
  return nb_wait_for(&PWR_D3CR, PWR_D3CR_VOSRDY, PWR_D3CR_VOSRDY);
}

nb_clocks nb_chip_clocks_on(void) {
  const nb_clocks internal = {NB_CHIP_HSI_HZ, NB_CHIP_HSI_HZ, NB_CHIP_HSI_HZ, NB_CHIP_HSI_HZ};
  nb_cortex_m7_on();
  RCC_CR = (RCC_CR & ~RCC_CR_HSIDIV) | RCC_CR_HSION;
  (void)nb_wait_for(&RCC_CR, RCC_CR_HSIRDY, RCC_CR_HSIRDY);
  RCC_CFGR &= ~RCC_CFGR_SW;
  (void)nb_wait_for(&RCC_CFGR, RCC_CFGR_SWS, 0);
  RCC_CR &= ~RCC_CR_PLL1ON;
  (void)nb_wait_for(&RCC_CR, RCC_CR_PLL1RDY, 0);
  RCC_D1CFGR = 0;
  RCC_D2CFGR = 0;
  RCC_D3CFGR = 0;
  RCC_D2CCIP2R &= ~RCC_D2CCIP2R_USART_SEL;
  if (nb_oscillator_on() == 0 || nb_voltage_scale_0() == 0) {
    return internal;
  }
  RCC_PLLCKSELR = NB_PLL_SOURCE | NB_BOARD_PLL_M << 4;
  RCC_PLLCFGR = RCC_PLLCFGR_PLL1RGE_2 | RCC_PLLCFGR_DIVP1EN;
  RCC_PLL1DIVR = (NB_BOARD_PLL_N - 1U) | (NB_BOARD_PLL_P - 1U) << 9 | 1U << 16 | 1U << 24;
  RCC_CR |= RCC_CR_PLL1ON;
  if (nb_wait_for(&RCC_CR, RCC_CR_PLL1RDY, RCC_CR_PLL1RDY) == 0) {
    return internal;
  }
  FLASH_ACR = FLASH_ACR_WRHIGHFREQ_1 | NB_BOARD_FLASH_LATENCY;
  (void)FLASH_ACR; /* the new wait states hold before the clock rises */
  RCC_D1CFGR = RCC_D1CFGR_HPRE_DIV2 | RCC_D1CFGR_D1PPRE_DIV2;
  RCC_D2CFGR = RCC_D2CFGR_D2PPRE1_DIV2 | RCC_D2CFGR_D2PPRE2_DIV2;
  RCC_D3CFGR = RCC_D3CFGR_D3PPRE_DIV2;
  RCC_CFGR |= RCC_CFGR_SW_PLL1;
  if (nb_wait_for(&RCC_CFGR, RCC_CFGR_SWS, RCC_CFGR_SWS_PLL1) == 0) {
    return (nb_clocks){NB_CHIP_HSI_HZ, NB_CHIP_HSI_HZ / 4U, NB_CHIP_HSI_HZ / 4U,
                       NB_CHIP_HSI_HZ / 2U};
  }
  return (nb_clocks){NB_CLOCK_HZ, NB_CLOCK_HZ / 4U, NB_CLOCK_HZ / 4U, NB_CLOCK_HZ / 2U};
}
