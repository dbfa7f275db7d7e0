// SPDX-License-Identifier: Apache-2.0
/* The serial command loop around one generated model. firmware/README.md lists the commands. */
#ifndef NB_HARNESS_H
#define NB_HARNESS_H

/* Prints the boot banner and answers commands; returns only where the port's input ends. */
void nb_harness_run(void);

/* One inference, layer by layer, each timed: a line `m-layer-{...}` for each. */
void nb_profile_layers(void);

#endif
