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

/* Interrupts 0-31. They wake WFI and never run a handler: PRIMASK is set from reset on. */
#define NB_NVIC_ISER0 NB_REGISTER(0xE000E100U)
#define NB_NVIC_ICPR0 NB_REGISTER(0xE000E280U)

#define NB_SCB_CPACR NB_REGISTER(0xE000ED88U)
#define NB_SCB_SHCSR NB_REGISTER(0xE000ED24U)
#define NB_SHCSR_FAULTS (7U << 16) /* MemManage, BusFault, UsageFault enabled */
#define NB_SCB_CFSR NB_REGISTER(0xE000ED28U)
#define NB_SCB_HFSR NB_REGISTER(0xE000ED2CU)
#define NB_SCB_MMFAR NB_REGISTER(0xE000ED34U)
#define NB_SCB_BFAR NB_REGISTER(0xE000ED38U)

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

/* Marks a stack word that nothing has used yet. */
#define NB_STACK_PAINT 0xA5C3F00DU

void nb_reset(void);
void nb_hard_fault(void);
int main(void);

#endif
