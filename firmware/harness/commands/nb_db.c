// SPDX-License-Identifier: Apache-2.0
/* The commands that fill the input tensors: `db load N`, `db HH...`, `db print`.
 *
 * Digits go straight into the tensors as they arrive, never past its end. */
#include "nb_commands.h"
#include "nb_input.h"
#include "nb_model.h"
#include "nb_port.h"
#include "nb_text.h"

#define NB_PRINT_COLUMNS 8U

void nb_command_db_load(nb_harness_state *state, const char *text) {
  uint32_t count = 0;
  if (nb_get_unsigned(&text, &count) == 0 || *text != '\0') {
    nb_put_error("db load: give the number of bytes");
    return;
  }
  if (count != nb_input_bytes()) {
    nb_put_text("e-[db load: the model's input has ");
    nb_put_unsigned(nb_input_bytes());
    nb_put_text(" bytes, not ");
    nb_put_unsigned(count);
    nb_put_line("]");
    return;
  }
  (void)nb_push_row(0);
  state->expected = count;
  state->received = 0;
  state->input_ready = 0;
  state->output_ready = 0;
  nb_put_text("m-[Expecting ");
  nb_put_unsigned(count);
  nb_put_line(" bytes]");
}

void nb_command_db_print(nb_harness_state *state, const nb_arguments *arguments) {
  (void)state, (void)arguments;
  uint32_t total = nb_resident_bytes();
  for (uint32_t i = 0; i < total; i++) {
    if (i % NB_PRINT_COLUMNS == 0U) {
      nb_put_text("m-buffer-");
    }
    nb_put_hex(*nb_input_byte(i), 2);
    if (i % NB_PRINT_COLUMNS == NB_PRINT_COLUMNS - 1U || i + 1U == total) {
      nb_put_line("");
    } else {
      nb_port_write('-');
    }
  }
}

/* Of a model whose rows are pushed: takes the row that is complete. Counted as inference. */
static void nb_push_arrived(const nb_harness_state *state) {
  if (nb_model.pushed_rows != 0U && state->received % nb_model.row_bytes == 0U) {
    nb_mark_begin();
    (void)nb_push_row(nb_model_input(0));
    nb_mark_end();
  }
}

/* A command that turns out bad takes back what it wrote: the whole input must be sent again. */
int nb_stream_db(nb_harness_state *state, int byte) {
  const char *error = 0;
  int high = -1;
  if (state->expected == 0U) {
    error = "announce the input with db load N first";
  }
  while (error == 0) {
    int digit = nb_hex_digit(byte);
    if (byte == NB_PORT_END) {
      return NB_PORT_END;
    }
    if (byte == '%') {
      if (high < 0) {
        break;
      }
      error = "odd number of hex digits";
    } else if (digit < 0) {
      error = "not a hex digit";
    } else if (high < 0) {
      high = digit;
      byte = nb_port_read();
    } else if (state->received == state->expected) {
      error = "more bytes than announced";
    } else {
      *nb_input_byte(state->received) = (uint8_t)(high * 16 + digit);
      state->received++;
      nb_push_arrived(state);
      high = -1;
      byte = nb_port_read();
    }
  }
  if (error != 0) {
    if (byte != '%' && nb_skip_command() == NB_PORT_END) {
      return NB_PORT_END;
    }
    nb_put_text("e-[db: ");
    nb_put_text(error);
    nb_put_line(state->expected != 0U ? "; start again with db load N]" : "]");
    state->expected = 0;
    state->input_ready = 0;
  } else if (state->received == state->expected) {
    state->expected = 0;
    state->input_ready = 1;
    state->output_ready = 0;
    state->runs = 0;
    nb_put_line("m-load-done");
  }
  return 0;
}
