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

/* SysTick counts core clocks down from 2^24 - 1, without an interrupt. A lap in which it turned
 * is an overflow: COUNTFLAG cannot tell one turn from two. */
void nb_port_lap_start(void) {
    NB_SYST_RVR = NB_SYST_PERIOD - 1U;
    NB_SYST_CVR = 0; /* also clears COUNTFLAG; the next clock reloads */
    NB_SYST_CSR = NB_SYST_ENABLE | NB_SYST_CORE_CLOCK;
}

uint32_t nb_port_lap_ticks(void) {
    uint32_t left = NB_SYST_CVR;
    uint32_t turned = NB_SYST_CSR & NB_SYST_COUNTFLAG;
    uint32_t ticks = (NB_SYST_PERIOD - 1U - left) & (NB_SYST_PERIOD - 1U);
    return turned != 0U ? NB_PORT_LAP_OVERFLOW : ticks;
}
