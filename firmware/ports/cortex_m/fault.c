/* HardFault: report the registers over the UART and halt. The host's side names the function
 * and the layer, from the addresses and the firmware's symbols. */
#include "nb_cortex_m.h"
#include "nb_port.h"
#include "nb_text.h"

#define NB_FRAME_WORDS 8U  /* as the core stacked them, see NB_FRAME_NAMES */
#define NB_SAVED_WORDS 8U  /* r4-r11 */
#define NB_TRACE_WORDS 160U /* of the stack: more than the frames of a kernel, for its layer */

#define NB_REPORT_BYTES 512
#define NB_STRINGIFY(x) #x
#define NB_STRING(x) NB_STRINGIFY(x)

typedef struct { /* pushed by nb_hard_fault's assembly */
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
        while (*name++ != '\0') {
        }
    }
    return name;
}

__attribute__((noreturn, used)) static void nb_report_fault(const nb_fault *fault) {
    const char *name = "sp\0cfsr\0hfsr\0mmfar\0bfar\0" NB_SAVED_NAMES NB_FRAME_NAMES;
    const volatile uint32_t *frame = (const volatile uint32_t *)(uintptr_t)fault->sp;
    const uint32_t bottom = (uint32_t)(uintptr_t)nb_stack_bottom;
    const uint32_t top = (uint32_t)(uintptr_t)nb_stack_top;
    /* As nb_hard_fault decided: below, the report's own calls have written over the frame. */
    int in_stack = fault->sp >= bottom + NB_REPORT_BYTES && fault->sp <= top;
    nb_put_text("\r\nm-fault-{");
    nb_put_pair("stack_overflow", fault->sp < bottom || fault->sp > top);
    name = nb_put_registers(name, &fault->sp, 1);
    name = nb_put_registers(name, &NB_SCB_CFSR, 2); /* and HFSR */
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

/* The report goes on below the fault's own frame where the stack has NB_REPORT_BYTES left. Where
 * it does not, the frame is lost or was never written, and the report takes the bottom of the
 * stack: at the top lie the return addresses that tell which layer it was. */
__attribute__((naked)) void nb_hard_fault(void) {
    __asm__ volatile(
        "mov r1, sp                \n"
        "ldr r3, =nb_stack_top     \n"
        "ldr r2, =nb_stack_bottom  \n"
        "add r2, r2, #" NB_STRING(NB_REPORT_BYTES) " \n"
        "cmp r1, r2                \n"
        "blo 1f                    \n"
        "cmp r1, r3                \n"
        "bls 2f                    \n"
        "1: mov sp, r2             \n"
        "2: push {r1}              \n"
        "push {r4-r11}             \n"
        "mov r0, sp                \n"
        "b nb_report_fault         \n"
        ".ltorg                    \n");
}
