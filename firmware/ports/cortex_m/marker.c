/* The markers of nb_port.h for emulators. QEMU's counter finds them by their addresses. Renode is
 * told to watch reads of nb_marks: it counts executed instructions a block of code at a time, so
 * the read is in the instruction that returns, which ends a block wherever Renode may cut. */
#include "nb_cortex_m.h"
#include "nb_port.h"

__attribute__((used)) uint32_t nb_marks[2]; /* return addresses */

__attribute__((naked, noinline)) void nb_mark_begin(void) {
    __asm__ volatile(
        "ldr r0, =nb_marks   \n"
        "str lr, [r0]        \n"
        "ldr pc, [r0]        \n"
        ".ltorg              \n");
}

__attribute__((naked, noinline)) void nb_mark_end(void) {
    __asm__ volatile(
        "ldr r0, =nb_marks   \n"
        "str lr, [r0, #4]    \n"
        "ldr pc, [r0, #4]    \n"
        ".ltorg              \n");
}
