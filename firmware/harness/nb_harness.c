// SPDX-License-Identifier: Apache-2.0
/* One loop: read a command byte by byte up to its `%`, run it, answer, end with `m-ready`.
 *
 * Everything that arrives is untrusted. A command is at most NB_COMMAND_BYTES long; what is
 * longer is read to its `%`, refused and forgotten. `db HH...` alone may be as long as it likes:
 * it is decoded as it arrives (nb_db.c). */
#include "nb_harness.h"

#include <stdint.h>

#include "nb_commands.h"
#include "nb_port.h"
#include "nb_text.h"

#define NB_COMMAND_BYTES 48U

/* The text of `command` after `word` and its blanks; 0 where it begins with another word. */
static const char *nb_after(const char *command, const char *word) {
  while (*word != '\0') {
    if (*command++ != *word++) {
      return 0;
    }
  }
  if (*command != ' ' && *command != '\0') {
    return 0;
  }
  while (*command == ' ') {
    command++;
  }
  return command;
}

/* What runs a command; 0 where it is done already, or wrong. */
static nb_command *nb_find_command(nb_harness_state *state, const char *command,
                                   nb_arguments *found) {
  static const struct {
    const char *word;
    nb_command *run;
  } plain[] = {
      {"name", nb_command_name},         {"profile", nb_command_profile},
      {"banner", nb_command_banner},     {"firmware", nb_command_firmware},
      {"help", nb_command_help},         {"timestamp", nb_command_timestamp},
      {"db print", nb_command_db_print}, {"profile layers", nb_command_profile_layers},
      {"results", nb_command_results},   {"output", nb_command_output},
      {"memory", nb_command_memory},     {"selftest", nb_command_selftest},
  };
  const char *arguments = 0;
  for (uint32_t i = 0; i < sizeof plain / sizeof plain[0]; i++) {
    arguments = nb_after(command, plain[i].word);
    if (arguments != 0 && *arguments == '\0') {
      return plain[i].run;
    }
  }
  if ((arguments = nb_after(command, "infer")) != 0) {
    return nb_read_counts(arguments, found) != 0 ? nb_command_infer : 0;
  }
  if ((arguments = nb_after(command, "db load")) != 0) {
    nb_command_db_load(state, arguments);
  } else {
    nb_put_error("unknown command; help% lists them");
  }
  return 0;
}

/* Reads one command, of `db HH...` only the first digit, which it returns; otherwise NB_PORT_END
 * where no more will come, or 0 and in `run` what is to be run, with `arguments`. Apart, so that the text of the
 * command does not lie on the stack below an inference. */
__attribute__((noinline)) static int nb_read_command(nb_harness_state *state, nb_command **run,
                                                     nb_arguments *arguments) {
  char command[NB_COMMAND_BYTES + 1U];
  uint32_t length = 0;
  for (;;) {
    int byte = nb_port_read();
    if (byte == NB_PORT_END) {
      return NB_PORT_END;
    }
    if (byte == '%') {
      break;
    }
    if (byte == '\r' || byte == '\n' || (byte == ' ' && length == 0U)) {
      continue; /* terminals send line ends; they mean nothing here */
    }
    if (length == 3U && command[0] == 'd' && command[1] == 'b' && command[2] == ' ' &&
        nb_hex_digit(byte) >= 0) {
      return byte;
    }
    if (length == NB_COMMAND_BYTES || byte < 0x20 || byte > 0x7e) {
      if (nb_skip_command() == NB_PORT_END) {
        return NB_PORT_END;
      }
      nb_put_error("not a command; help% lists them");
      return 0;
    }
    command[length++] = (char)byte;
  }
  command[length] = '\0';
  *run = nb_find_command(state, command, arguments);
  return 0;
}

/* Reads and answers one command. Returns NB_PORT_END where no more will come, or 0. */
static int nb_serve_command(nb_harness_state *state) {
  nb_command *run = 0;
  nb_arguments arguments;
  int byte = nb_read_command(state, &run, &arguments);
  if (byte > 0) {
    return nb_stream_db(state, byte);
  }
  if (run != 0) {
    run(state, &arguments);
  }
  return byte;
}

void nb_harness_run(void) {
  static nb_harness_state state;
  nb_put_banner();
  nb_put_line("m-init-done");
  do {
    nb_put_line("m-ready");
  } while (nb_serve_command(&state) != NB_PORT_END);
}
