// SPDX-License-Identifier: Apache-2.0
/* USART of STM32F4 (RM0090, chapter 30): one status and one data register. */
#ifndef NB_USART_V1_H
#define NB_USART_V1_H

#define NB_USART_STATUS(base) NB_REGISTER((base) + 0x00U)
#define NB_USART_RX(base) NB_REGISTER((base) + 0x04U)
#define NB_USART_TX(base) NB_REGISTER((base) + 0x04U)
#define NB_USART_BRR(base) NB_REGISTER((base) + 0x08U)
#define NB_USART_CR1(base) NB_REGISTER((base) + 0x0CU)
#define NB_USART_ON ((1U << 13) | (1U << 5) | (1U << 3) | (1U << 2)) /* UE, RXNEIE, TE, RE */
/* Reading status, then data, as nb_port_read does, clears an overrun. */
#define NB_USART_CLEAR_OVERRUN(base) ((void)NB_USART_RX(base))

#endif
