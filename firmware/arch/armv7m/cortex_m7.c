// SPDX-License-Identifier: Apache-2.0
/* What only a Cortex-M7 has: caches, and speculation that reaches external memories. ARMv7-M
 * Architecture Reference Manual, B2.2 (caches); ST application note AN4838 (the MPU region). */
#include "nb_cortex_m.h"

#define NB_SCB_CCR NB_REGISTER(0xE000ED14U)
#define NB_CCR_DATA_CACHE (1U << 16)
#define NB_CCR_INSTRUCTION_CACHE (1U << 17)
#define NB_SCB_CCSIDR NB_REGISTER(0xE000ED80U)
#define NB_SCB_CSSELR NB_REGISTER(0xE000ED84U)
#define NB_SCB_ICIALLU NB_REGISTER(0xE000EF50U)
#define NB_SCB_DCISW NB_REGISTER(0xE000EF60U)
#define NB_MPU_512_MIB (28U << 1)

static void nb_barrier(void) {
  __asm__ volatile("dsb\n\tisb" ::: "memory");
}

/* 0x60000000-0x9FFFFFFF belongs to external memories that this firmware does not switch on: a
 * speculative read there may hang the bus. */
static void nb_forbid_external_memory(void) {
  if ((NB_MPU_TYPE & NB_MPU_REGIONS) == 0U) {
    return;
  }
  for (uint32_t region = 1; region <= 2U; region++) {
    NB_MPU_RNR = region;
    NB_MPU_RBAR = 0x40000000U + region * 0x20000000U;
    NB_MPU_RASR = NB_MPU_NO_ACCESS_NO_EXECUTE | NB_MPU_512_MIB | 1U;
  }
  NB_MPU_CTRL = NB_MPU_ENABLE_OVER_DEFAULT;
  nb_barrier();
}

void nb_cortex_m7_on(void) {
  nb_forbid_external_memory();
  if ((NB_SCB_CCR & NB_CCR_INSTRUCTION_CACHE) == 0U) {
    NB_SCB_ICIALLU = 0;
    nb_barrier();
    NB_SCB_CCR |= NB_CCR_INSTRUCTION_CACHE;
    nb_barrier();
  }
  /* A boot loader may have it on already, with lines that memory has not got yet: those must
     * not be thrown away. */
  if ((NB_SCB_CCR & NB_CCR_DATA_CACHE) == 0U) {
    NB_SCB_CSSELR = 0;
    nb_barrier();
    uint32_t size = NB_SCB_CCSIDR;
    uint32_t last_set = size >> 13 & 0x7FFFU;
    uint32_t last_way = size >> 3 & 3U; /* Cortex-M7: four ways, in bits 31-30 of DCISW */
    for (uint32_t set = 0; set <= last_set; set++) {
      for (uint32_t way = 0; way <= last_way; way++) {
        NB_SCB_DCISW = way << 30 | set << 5;
      }
    }
    nb_barrier();
    NB_SCB_CCR |= NB_CCR_DATA_CACHE;
    nb_barrier();
  }
}
