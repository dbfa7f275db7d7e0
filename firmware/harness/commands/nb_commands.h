// SPDX-License-Identifier: Apache-2.0
/* The commands of the serial protocol. Each gets the harness's state and its arguments; none calls
 * another one's file. */
#ifndef NB_COMMANDS_H
#define NB_COMMANDS_H

#include <stdint.h>

#include "nb_state.h"

/* Numbers behind a command's words; the text itself is gone when the command runs. */
typedef struct {
  uint32_t count;   /* inferences that `infer` asks for */
  uint32_t warm_up; /* and those before them */
} nb_arguments;

typedef void nb_command(nb_harness_state *state, const nb_arguments *arguments);

/* nb_about.c: what device, model and memory are. */
void nb_put_banner(void);
nb_command nb_command_banner, nb_command_name, nb_command_profile, nb_command_firmware,
    nb_command_help, nb_command_memory, nb_command_selftest;

/* nb_db.c: filling the input tensors. */
void nb_command_db_load(nb_harness_state *state, const char *text);
nb_command nb_command_db_print;
/* `db HH...` from its first digit on; NB_PORT_END or 0. */
int nb_stream_db(nb_harness_state *state, int byte);

/* nb_infer.c: inferences and their results. */
int nb_read_counts(const char *text, nb_arguments *arguments); /* 0: an error was printed */
nb_command nb_command_infer, nb_command_profile_layers, nb_command_results, nb_command_output,
    nb_command_timestamp;

#endif
