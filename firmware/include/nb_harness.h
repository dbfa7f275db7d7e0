/* The serial command loop around one generated model. firmware/README.md lists the commands. */
#ifndef NB_HARNESS_H
#define NB_HARNESS_H

#include <stdint.h>

/* Prints the boot banner and answers commands; returns only where the port's input ends. */
void nb_harness_run(void);

/* One inference, layer by layer, each timed: a line `m-layer-{...}` for each. */
void nb_profile_layers(void);

/* Mark the counted interval of one inference: each writes a number to nb_marker, and an emulator's
 * instruction counter finds the moment by the function's address or by the write. */
extern volatile uint32_t nb_marker;
void nb_mark_begin(void);
void nb_mark_end(void);

#endif
