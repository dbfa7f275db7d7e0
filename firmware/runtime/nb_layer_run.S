// SPDX-License-Identifier: Apache-2.0
// Runs a layer: see nb_rows.h. On the stack the layer lies right behind the kernel's return address:
// reports of faults find it there. The first instruction that reads memory reads the layer.
#ifdef __thumb__
#include "nb_assembly.inc"

nb_function nb_layer_run
    ldr r3, [r0]
    push {r0, lr}
    blx r3
    pop {r0, pc}
nb_end nb_layer_run

#endif
