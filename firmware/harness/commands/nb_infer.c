// SPDX-License-Identifier: Apache-2.0
/* Inferences, timed, and their results. */
#include "nb_commands.h"
#include "nb_harness.h"
#include "nb_input.h"
#include "nb_model.h"
#include "nb_port.h"
#include "nb_text.h"

#define NB_MOST_RUNS 65535U /* of one `infer`: a garbled count must not keep the device away */

static void nb_put_timestamp(void) {
  nb_put_count("m-lap-us-", nb_port_microseconds());
}

void nb_command_timestamp(nb_harness_state *state, const nb_arguments *arguments) {
  (void)state, (void)arguments;
  nb_put_timestamp();
}

static void nb_put_results(void) {
  nb_put_text("m-results-[");
  for (uint32_t i = 0; i < nb_model.output_count; i++) {
    const nb_tensor_info *info = &nb_model.outputs[i];
    const void *bytes = nb_model_output(i);
    for (uint32_t j = 0; j < info->bytes; j++) {
      int32_t code = info->type == NB_UINT8 ? (int32_t)((const uint8_t *)bytes)[j]
                                            : (int32_t)((const int8_t *)bytes)[j];
      float value = (float)(code - info->zero_point) * info->scale * 1000.0F;
      float limited = value > 2.0e9F ? 2.0e9F : value < -2.0e9F ? -2.0e9F : value;
      if (i + j > 0U) {
        nb_port_write(',');
      }
      nb_put_thousandths((int32_t)(limited < 0.0F ? limited - 0.5F : limited + 0.5F));
    }
  }
  nb_put_line("]");
}

/* Output bytes are there and answer the input that was sent. One copy of the two messages. */
__attribute__((noinline)) static int nb_require_output(const nb_harness_state *state) {
  if (state->output_ready == 0) {
    nb_put_error(state->runs > 1U
                     ? "a repeated inference overwrote the input: send it again, infer 1"
                     : "no result yet: send the input with db, then infer 1");
  }
  return state->output_ready;
}

static int nb_require_input(const nb_harness_state *state) {
  if (state->input_ready == 0) {
    nb_put_error("no input: send it with db load N, then db HH...");
  }
  return state->input_ready;
}

void nb_command_results(nb_harness_state *state, const nb_arguments *arguments) {
  (void)arguments;
  if (nb_require_output(state) != 0) {
    nb_put_results();
  }
}

void nb_command_output(nb_harness_state *state, const nb_arguments *arguments) {
  (void)arguments;
  if (nb_require_output(state) == 0) {
    return;
  }
  nb_put_text("m-output-");
  for (uint32_t i = 0; i < nb_model.output_count; i++) {
    const uint8_t *bytes = (const uint8_t *)nb_model_output(i);
    for (uint32_t j = 0; j < nb_model.outputs[i].bytes; j++) {
      nb_put_hex(bytes[j], 2);
    }
  }
  nb_put_line("");
}

/* One inference. Reports nothing, so that the caller may time it. */
static uint32_t nb_infer_once(nb_harness_state *state) {
  nb_port_busy(1);
  nb_port_lap_start();
  nb_mark_begin();
  nb_model_invoke();
  nb_mark_end();
  uint32_t ticks = nb_port_lap_ticks();
  nb_port_busy(0);
  state->runs++;
  return ticks;
}

/* `infer N [W=0]` */
int nb_read_counts(const char *text, nb_arguments *arguments) {
  arguments->warm_up = 0;
  if (nb_get_unsigned(&text, &arguments->count) == 0 || arguments->count == 0U) {
    nb_put_error("infer: give the number of inferences, 1 or more");
  } else if (*text != '\0' && (nb_get_unsigned(&text, &arguments->warm_up) == 0 || *text != '\0')) {
    nb_put_error("infer: the number of warm-up inferences is no number");
  } else if (arguments->count > NB_MOST_RUNS || arguments->warm_up > NB_MOST_RUNS) {
    nb_put_error("infer: at most 65535 inferences");
  } else {
    return 1;
  }
  return 0;
}

static void nb_time_inferences(nb_harness_state *state, uint32_t count) {
  uint64_t ticks = 0;
  int overflow = 0;
  int stopped = 0;
  nb_put_count("m-infer-start-", count);
  nb_put_timestamp();
  for (uint32_t i = 0; i < count; i++) {
    uint32_t lap = nb_infer_once(state);
    overflow |= lap == NB_PORT_LAP_OVERFLOW;
    stopped |= lap == 0U;
    ticks += lap;
  }
  nb_put_timestamp();
  if (overflow != 0) {
    nb_put_line("m-lap-ticks-overflow");
  } else if (stopped != 0) {
    nb_put_line("m-lap-ticks-stopped"); /* no zero: that would read as a time */
  } else {
    nb_put_count("m-lap-ticks-", ticks);
  }
  nb_put_line("m-infer-done");
}

void nb_command_infer(nb_harness_state *state, const nb_arguments *arguments) {
  uint32_t count = arguments->count;
  uint32_t warm_up = arguments->warm_up;
  if (nb_require_input(state) == 0) {
    return;
  }
  if (nb_model.pushed_rows != 0U && (count != 1U || warm_up != 0U)) {
    nb_put_error("infer: rows are pushed as they come: send the input for each infer 1");
    return;
  }
  /* The input may not outlive the first inference. That one gives the results; where more are
     * wanted for timing, it counts as warm-up and the rest run on what it left behind. */
  if (count > 1U && warm_up == 0U) {
    warm_up = 1;
  }
  uint32_t fingerprint = nb_input_fingerprint();
  state->runs = 0;
  state->output_ready = 0;
  nb_put_count("m-warmup-start-", warm_up);
  for (uint32_t i = 0; i < warm_up; i++) {
    nb_model_invoke();
    state->runs++;
    if (i == 0U) {
      nb_put_results();
    }
  }
  nb_put_line("m-warmup-done");
  nb_time_inferences(state, count);
  state->input_ready = nb_model.pushed_rows == 0U && nb_input_fingerprint() == fingerprint;
  state->output_ready = state->input_ready != 0 || state->runs == 1U;
  if (warm_up == 0U) {
    nb_put_results();
  }
}

void nb_command_profile_layers(nb_harness_state *state, const nb_arguments *arguments) {
  (void)arguments;
  if (nb_model.layer_count == 0U) {
    nb_put_error("profile layers: this engine has no layers to time");
    return;
  }
  if (nb_require_input(state) == 0) {
    return;
  }
  uint32_t fingerprint = nb_input_fingerprint();
  nb_profile_layers();
  state->runs = 1;
  state->input_ready = nb_input_fingerprint() == fingerprint;
  state->output_ready = 1;
}
