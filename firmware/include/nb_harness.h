/* The serial command loop around one generated model. firmware/README.md lists the commands. */
#ifndef NB_HARNESS_H
#define NB_HARNESS_H

/* Prints the boot banner and answers commands; returns only where the port's input ends. */
void nb_harness_run(void);

/* One inference, layer by layer, each timed: a line `m-layer-{...}` for each. */
void nb_profile_layers(void);

/* Mark the counted interval of one inference. They do nothing: an emulator's instruction
 * counter finds them by their addresses, and a release build pays two calls for them. */
void nb_mark_begin(void);
void nb_mark_end(void);

#endif
