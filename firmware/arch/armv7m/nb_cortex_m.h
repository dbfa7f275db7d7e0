// SPDX-License-Identifier: Apache-2.0
/* Registers that every ARMv7-M core has, and what its ports share. */
#ifndef NB_CORTEX_M_H
#define NB_CORTEX_M_H

#include <stdint.h>

#define NB_REGISTER(address) (*(volatile uint32_t *)(uintptr_t)(address))

/* ARMv7-M Architecture Reference Manual, B3.2 and B3.3. */
#define NB_SYST_CSR NB_REGISTER(0xE000E010U)
#define NB_SYST_RVR NB_REGISTER(0xE000E014U)
#define NB_SYST_CVR NB_REGISTER(0xE000E018U)
#define NB_SYST_ENABLE 1U
#define NB_SYST_CORE_CLOCK 4U
#define NB_SYST_COUNTFLAG (1U << 16)
#define NB_SYST_PERIOD (1U << 24)

/* Interrupts, 32 a register. */
#define NB_NVIC_ISER(number) NB_REGISTER(0xE000E100U + 4U * ((number) / 32U))
#define NB_NVIC_ICER(number) NB_REGISTER(0xE000E180U + 4U * ((number) / 32U))
#define NB_NVIC_ICPR(number) NB_REGISTER(0xE000E280U + 4U * ((number) / 32U))
#define NB_NVIC_INTERRUPTS 240U

/* Cycle counter of the data watchpoint and trace unit, C1.8; its lock, D1.1 (Cortex-M7 has it). */
#define NB_DEMCR NB_REGISTER(0xE000EDFCU)
#define NB_DEMCR_TRCENA (1U << 24)
#define NB_DWT_CTRL NB_REGISTER(0xE0001000U)
#define NB_DWT_CYCCNT NB_REGISTER(0xE0001004U)
#define NB_DWT_LAR NB_REGISTER(0xE0001FB0U)
#define NB_DWT_UNLOCK 0xC5ACCE55U
#define NB_DWT_CYCCNTENA 1U
#define NB_DWT_NOCYCCNT (1U << 25)

#define NB_SCB_ICSR NB_REGISTER(0xE000ED04U)
#define NB_ICSR_FORGET (1U << 27 | 1U << 25) /* pending PendSV and SysTick */
#define NB_SCB_VTOR NB_REGISTER(0xE000ED08U)

#define NB_SCB_CPACR NB_REGISTER(0xE000ED88U)
#define NB_SCB_SHCSR NB_REGISTER(0xE000ED24U)
#define NB_SHCSR_FAULTS (7U << 16) /* MemManage, BusFault, UsageFault enabled */
#define NB_SCB_CFSR NB_REGISTER(0xE000ED28U)
#define NB_SCB_HFSR NB_REGISTER(0xE000ED2CU) /* behind CFSR */
#define NB_SCB_MMFAR NB_REGISTER(0xE000ED34U)
#define NB_SCB_BFAR NB_REGISTER(0xE000ED38U) /* behind MMFAR */

/* Memory protection unit, B3.5. */
#define NB_MPU_TYPE NB_REGISTER(0xE000ED90U)
#define NB_MPU_CTRL NB_REGISTER(0xE000ED94U)
#define NB_MPU_RNR NB_REGISTER(0xE000ED98U)
#define NB_MPU_RBAR NB_REGISTER(0xE000ED9CU)
#define NB_MPU_RASR NB_REGISTER(0xE000EDA0U)
#define NB_MPU_REGIONS (0xFFU << 8)
#define NB_MPU_ENABLE_OVER_DEFAULT 5U /* addresses in no region keep the default map */
#define NB_MPU_NO_ACCESS_NO_EXECUTE (1U << 28)

/* Set by the linker script. */
extern uint32_t nb_stack_bottom[], nb_stack_top[];
extern uint32_t nb_data_start[], nb_data_end[];
extern const uint32_t nb_data_load[];
extern uint32_t nb_bss_start[], nb_bss_end[];
extern uint8_t nb_ram_end[];
extern const uint8_t nb_image_start[], nb_image_end[];

/* Marks a stack word that nothing has used yet. */
#define NB_STACK_PAINT 0xA5C3F00DU

/* Takes the cycle counter for laps where the core has one that runs; SysTick otherwise. */
void nb_counter_init(void);

/* Cortex-M7: instruction and data cache on, and no speculative access to external memories. */
void nb_cortex_m7_on(void);

static inline void nb_irq_clear(uint32_t number) {
  NB_NVIC_ICPR(number) = 1U << (number % 32U);
}

/* Sleeps until one of two interrupts is pending. They are enabled here alone, where none can run a
 * handler: one in the middle of an inference would make its instruction count depend on the
 * moment. PRIMASK is clear elsewhere, so that a fault is what it is and no HardFault. */
void nb_sleep(uint32_t first, uint32_t second);

void nb_reset(void);
void nb_hard_fault(void);
int main(void);

#endif
