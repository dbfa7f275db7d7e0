// SPDX-License-Identifier: Apache-2.0
/* HardFault: report the registers over the UART and halt. The host's side names the function
 * and the layer, from the addresses and the firmware's symbols. */
#include "nb_cortex_m.h"
#include "nb_fault.h"
#include "nb_port.h"
#include "nb_text.h"

#define NB_FRAME_WORDS 8U   /* as the core stacked them, see NB_FRAME_NAMES */
#define NB_SAVED_WORDS 8U   /* r4-r11 */
#define NB_TRACE_WORDS 160U /* of the stack: more than the frames of a kernel, for its layer */

typedef struct { /* pushed by nb_hard_fault */
  uint32_t saved[NB_SAVED_WORDS];
  uint32_t sp;
} nb_fault;

/* One behind the other, a NUL behind each. */
#define NB_SAVED_NAMES "r4\0r5\0r6\0r7\0r8\0r9\0r10\0r11\0"
#define NB_FRAME_NAMES "r0\0r1\0r2\0r3\0r12\0lr\0pc\0xpsr\0"

/* Reports a number of registers by the names that begin at `name`; returns the name behind them. */
static const char *nb_put_registers(const char *name, const volatile uint32_t *values,
                                    uint32_t count) {
  for (uint32_t i = 0; i < count; i++) {
    nb_port_write(',');
    nb_put_key(name);
    nb_port_write('"');
    nb_put_hex(values[i], 8);
    nb_port_write('"');
    while (*name++ != '\0') {}
  }
  return name;
}

/* Called by nb_hard_fault alone. */
__attribute__((noreturn)) void nb_report_fault(const nb_fault *fault);

void nb_report_fault(const nb_fault *fault) {
  const char *name = "sp\0cfsr\0hfsr\0mmfar\0bfar\0" NB_SAVED_NAMES NB_FRAME_NAMES;
  const volatile uint32_t *frame = (const volatile uint32_t *)(uintptr_t)fault->sp;
  const uint32_t bottom = (uint32_t)(uintptr_t)nb_stack_bottom;
  const uint32_t top = (uint32_t)(uintptr_t)nb_stack_top;
  /* As nb_hard_fault decided: below, the report's own calls have written over the frame. */
  int in_stack = fault->sp >= bottom + NB_REPORT_BYTES && fault->sp <= top;
  nb_put_text("\r\nm-fault-{");
  nb_put_pair("stack_overflow", fault->sp < bottom || fault->sp > top);
  name = nb_put_registers(name, &fault->sp, 1);
  name = nb_put_registers(name, &NB_SCB_CFSR, 2);  /* and HFSR */
  name = nb_put_registers(name, &NB_SCB_MMFAR, 2); /* and BFAR */
  name = nb_put_registers(name, fault->saved, NB_SAVED_WORDS);
  const volatile uint32_t *word = nb_stack_top - NB_TRACE_WORDS;
  if (in_stack != 0) {
    (void)nb_put_registers(name, frame, NB_FRAME_WORDS);
    word = frame + NB_FRAME_WORDS;
  }
  nb_port_write(',');
  nb_put_key("stack");
  nb_port_write('[');
  for (uint32_t i = 0; i < NB_TRACE_WORDS && word + i < nb_stack_top; i++) {
    nb_put_text(i == 0U ? "\"" : ",\"");
    nb_put_hex(word[i], 8);
    nb_port_write('"');
  }
  nb_port_write(']');
  nb_put_line("}");
  nb_put_line("e-[hard fault: the device has halted; reset it]");
  nb_put_line("m-ready");
  for (;;) {
    __asm__ volatile("wfi");
  }
}
