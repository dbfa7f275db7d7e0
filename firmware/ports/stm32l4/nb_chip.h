// SPDX-License-Identifier: Apache-2.0
/* Addresses of STM32L4R5 (RM0432): memory map, chapters RCC, PWR, FLASH; names as in ST's CMSIS
 * header stm32l4r5xx.h. */
#ifndef NB_CHIP_H
#define NB_CHIP_H

#include "nb_stm32.h"
#include "nb_usart_v2.h"

#define RCC_BASE 0x40021000U
#define RCC_CR NB_REGISTER(RCC_BASE + 0x00U)
#define RCC_CFGR NB_REGISTER(RCC_BASE + 0x08U)
#define RCC_PLLCFGR NB_REGISTER(RCC_BASE + 0x0CU)
#define RCC_AHB2ENR NB_REGISTER(RCC_BASE + 0x4CU)
#define RCC_APB1ENR1 NB_REGISTER(RCC_BASE + 0x58U)
#define RCC_APB1ENR2 NB_REGISTER(RCC_BASE + 0x5CU)
#define RCC_CR_MSIRDY (1U << 1)
#define RCC_CR_PLLON (1U << 24)
#define RCC_CR_PLLRDY (1U << 25)
#define RCC_CFGR_SW_PLL 3U
#define RCC_CFGR_SWS (3U << 2)
#define RCC_CFGR_SWS_PLL (3U << 2)
#define RCC_CFGR_HPRE (15U << 4)
#define RCC_CFGR_HPRE_DIV2 (8U << 4)
#define RCC_PLLCFGR_PLLSRC_MSI 1U
#define RCC_PLLCFGR_PLLREN (1U << 24)
#define RCC_APB1ENR1_PWREN (1U << 28)

#define PWR_BASE 0x40007000U
#define PWR_CR2 NB_REGISTER(PWR_BASE + 0x04U)
#define PWR_CR5 NB_REGISTER(PWR_BASE + 0x80U)
#define PWR_CR2_IOSV (1U << 9)
#define PWR_CR5_R1MODE (1U << 8)

#define FLASH_ACR NB_REGISTER(0x40022000U)
#define FLASH_ACR_PRFTEN (1U << 8)
#define FLASH_ACR_ICEN (1U << 9)
#define FLASH_ACR_DCEN (1U << 10)

#define NB_CHIP_MSI_HZ 4000000U /* range 6, what the chip resets to */
#define NB_CHIP_GPIO 0x48000000U
#define NB_CHIP_GPIO_ENABLE RCC_AHB2ENR
#define NB_CHIP_TIM2_ENABLE RCC_APB1ENR1

#define NB_LPUART1_BASE 0x40008000U
#define NB_LPUART1_IRQ 70U
#define NB_LPUART1_ENABLE RCC_APB1ENR2
#define NB_LPUART1_ENABLE_BIT 1U
#define NB_LPUART1_CLOCK nb_clock.apb1_hz
#define NB_LPUART1_BRR_SCALE 256U

#endif
