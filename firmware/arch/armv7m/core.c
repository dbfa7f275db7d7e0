// SPDX-License-Identifier: Apache-2.0
/* The parts of nb_port.h that depend on the core and not on the chip. */
#include "nb_cortex_m.h"
#include "nb_port.h"

uint32_t nb_port_stack_bytes(void) {
  return (uint32_t)((uintptr_t)nb_stack_top - (uintptr_t)nb_stack_bottom);
}

uint32_t nb_port_stack_used(void) {
  const volatile uint32_t *word = nb_stack_bottom;
  while (word < nb_stack_top && *word == NB_STACK_PAINT) {
    word++;
  }
  return (uint32_t)((uintptr_t)nb_stack_top - (uintptr_t)word);
}

uint32_t nb_port_image(const uint8_t **start) {
  *start = nb_image_start;
  return (uint32_t)((uintptr_t)nb_image_end - (uintptr_t)nb_image_start);
}

void nb_sleep(uint32_t first, uint32_t second) {
  __asm__ volatile("cpsid i" ::: "memory");
  NB_NVIC_ISER(first) = 1U << (first % 32U);
  NB_NVIC_ISER(second) = 1U << (second % 32U);
  __asm__ volatile("dsb\n\twfi" ::: "memory"); /* at once where one is pending already */
  NB_NVIC_ICER(first) = 1U << (first % 32U);
  NB_NVIC_ICER(second) = 1U << (second % 32U);
  __asm__ volatile("dsb\n\tisb\n\tcpsie i" ::: "memory");
}

/* Which counter times the laps. */
static int nb_uses_dwt;
static uint32_t nb_lap_first;
static uint64_t nb_lap_microseconds;

void nb_counter_init(void) {
  NB_DEMCR |= NB_DEMCR_TRCENA;
  NB_DWT_LAR = NB_DWT_UNLOCK;
  NB_DWT_CYCCNT = 0;
  NB_DWT_CTRL |= NB_DWT_CYCCNTENA;
  uint32_t first = NB_DWT_CYCCNT;
  /* A core moves on at once. Renode's time moves in steps of thousands of instructions; other
     * emulators leave the counter out, and it stays at zero. */
  for (uint32_t i = 0; i < 50000U && NB_DWT_CYCCNT == first; i++) {
    __asm__ volatile("nop");
  }
  nb_uses_dwt = (NB_DWT_CTRL & NB_DWT_NOCYCCNT) == 0U && NB_DWT_CYCCNT != first;
}

const char *nb_port_counter(void) {
  return nb_uses_dwt != 0 ? "dwt" : "systick";
}

/* SysTick counts core clocks down from 2^24 - 1, without an interrupt. A lap in which it turned
 * is an overflow: COUNTFLAG cannot tell one turn from two. The cycle counter has 32 bits and no
 * flag: the port's microseconds tell whether a lap was longer than one turn of it. */
void nb_port_lap_start(void) {
  if (nb_uses_dwt != 0) {
    nb_lap_microseconds = nb_port_microseconds();
    nb_lap_first = NB_DWT_CYCCNT;
    return;
  }
  NB_SYST_RVR = NB_SYST_PERIOD - 1U;
  NB_SYST_CVR = 0; /* also clears COUNTFLAG; the next clock reloads */
  NB_SYST_CSR = NB_SYST_ENABLE | NB_SYST_CORE_CLOCK;
}

uint32_t nb_port_lap_ticks(void) {
  if (nb_uses_dwt != 0) {
    uint32_t cycles = NB_DWT_CYCCNT - nb_lap_first;
    uint64_t longest = UINT32_MAX / (nb_port_clock_hz() / 1000000U);
    uint64_t passed = nb_port_microseconds() - nb_lap_microseconds;
    return passed >= longest ? NB_PORT_LAP_OVERFLOW : cycles;
  }
  uint32_t left = NB_SYST_CVR;
  uint32_t turned = NB_SYST_CSR & NB_SYST_COUNTFLAG;
  if (left == 0U && turned == 0U) {
    return 0; /* not even the reload has happened */
  }
  uint32_t ticks = (NB_SYST_PERIOD - 1U - left) & (NB_SYST_PERIOD - 1U);
  return turned != 0U ? NB_PORT_LAP_OVERFLOW : ticks;
}
