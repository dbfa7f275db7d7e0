// SPDX-License-Identifier: Apache-2.0
/* USART and LPUART of STM32F7, H7 and L4 (RM0385, chapter 31; RM0433, chapter 48; RM0432,
 * chapters 50 and 51). */
#ifndef NB_USART_V2_H
#define NB_USART_V2_H

#define NB_USART_CR1(base) NB_REGISTER((base) + 0x00U)
#define NB_USART_BRR(base) NB_REGISTER((base) + 0x0CU)
#define NB_USART_STATUS(base) NB_REGISTER((base) + 0x1CU)
#define NB_USART_ICR(base) NB_REGISTER((base) + 0x20U)
#define NB_USART_RX(base) NB_REGISTER((base) + 0x24U)
#define NB_USART_TX(base) NB_REGISTER((base) + 0x28U)
#define NB_USART_ON ((1U << 5) | (1U << 3) | (1U << 2) | 1U) /* RXNEIE, TE, RE, UE */
#define NB_USART_CLEAR_OVERRUN(base) (NB_USART_ICR(base) = 1U << 3)

#endif
