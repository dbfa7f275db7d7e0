// SPDX-License-Identifier: Apache-2.0
/* Reset: from the vector table to main, without a C library. */
#include "nb_cortex_m.h"

#if defined(__ARM_FP)
#define NB_HAS_FPU 1
#endif

typedef void (*nb_vector)(void);

/* Only reset and the faults have handlers: see nb_sleep. */
__attribute__((section(".nb_vectors"), used)) static const nb_vector nb_vectors[16] = {
    (nb_vector)nb_stack_top,
    nb_reset,
    nb_hard_fault, /* NMI */
    nb_hard_fault, /* HardFault */
    nb_hard_fault, /* MemManage */
    nb_hard_fault, /* BusFault */
    nb_hard_fault, /* UsageFault */
    0,
    0,
    0,
    0,
    nb_hard_fault, /* SVCall */
    nb_hard_fault, /* DebugMonitor */
    0,
    nb_hard_fault, /* PendSV */
    nb_hard_fault, /* SysTick */
};

/* Paints the stack below this function's own frame. */
static void nb_paint_stack(void) {
  volatile uint32_t *word = nb_stack_bottom;
  uint32_t top;
  __asm__ volatile("mov %0, sp" : "=r"(top));
  while ((uint32_t)(uintptr_t)word < top - 16U) {
    *word++ = NB_STACK_PAINT;
  }
}

/* Forbids what lies below the stack, up to 1 MiB of it: most chips have no memory there and fault
 * by themselves, some ignore the access. Takes no RAM. */
static void nb_guard_stack(void) {
  uint32_t bottom = (uint32_t)(uintptr_t)nb_stack_bottom;
  uint32_t log2_size = 5; /* the smallest region: 32 bytes, aligned to its size */
  while (log2_size < 20U && (bottom & ((2U << log2_size) - 1U)) == 0U) {
    log2_size++;
  }
  if ((NB_MPU_TYPE & NB_MPU_REGIONS) == 0U || (bottom & 31U) != 0U) {
    return;
  }
  NB_MPU_CTRL = 0;
  for (uint32_t region = 1; region < (NB_MPU_TYPE & NB_MPU_REGIONS) >> 8; region++) {
    NB_MPU_RNR = region; /* a boot loader's */
    NB_MPU_RASR = 0;
  }
  NB_MPU_RNR = 0;
  NB_MPU_RBAR = bottom - (1U << log2_size);
  NB_MPU_RASR = NB_MPU_NO_ACCESS_NO_EXECUTE | (log2_size - 1U) << 1 | 1U;
  NB_MPU_CTRL = NB_MPU_ENABLE_OVER_DEFAULT;
  __asm__ volatile("dsb\n\tisb" ::: "memory");
}

__attribute__((noreturn)) void nb_reset(void) {
  __asm__ volatile("cpsid i" ::: "memory");
  /* Where a boot loader ran before: its vectors, its interrupts. */
  NB_SCB_VTOR = (uint32_t)(uintptr_t)nb_vectors;
  for (uint32_t number = 0; number < NB_NVIC_INTERRUPTS; number += 32U) {
    NB_NVIC_ICER(number) = UINT32_MAX;
    NB_NVIC_ICPR(number) = UINT32_MAX;
  }
  NB_SYST_CSR = 0;
  NB_SCB_ICSR = NB_ICSR_FORGET;
  /* A fault while a fault's frame is pushed (the stack has overflowed) escalates once. Begin
     * below HardFault, where there is a step left; from HardFault the core would lock up. With
     * PRIMASK set all begin at HardFault (and Renode leaves them pending for ever). */
  NB_SCB_SHCSR |= NB_SHCSR_FAULTS;
  __asm__ volatile("dsb\n\tisb\n\tcpsie i" ::: "memory");
#ifdef NB_HAS_FPU
  NB_SCB_CPACR |= 0xFU << 20; /* full access to coprocessors 10 and 11 */
  __asm__ volatile("dsb\n\tisb" ::: "memory");
#endif
  nb_guard_stack();
  nb_paint_stack();
  const uint32_t *from = nb_data_load;
  for (uint32_t *to = nb_data_start; to < nb_data_end; to++) {
    *to = *from++;
  }
  for (uint32_t *to = nb_bss_start; to < nb_bss_end; to++) {
    *to = 0;
  }
  (void)main();
  for (;;) {
    __asm__ volatile("wfi");
  }
}
