// SPDX-License-Identifier: Apache-2.0
/* What the device, its model and its memory are: banner, name, checksum, self-test. */
#include "nb_commands.h"
#include "nb_input.h"
#include "nb_model.h"
#include "nb_port.h"
#include "nb_text.h"

#ifndef NB_TARGET_NAME
#error "NB_TARGET_NAME: the build gives the target's name as a string"
#endif

static void nb_next_string(const char *key, const char *value) {
  nb_port_write(',');
  nb_put_key(key);
  nb_put_json_string(value);
}

static void nb_put_tensors(const char *key, const nb_tensor_info *infos, uint32_t count) {
  nb_port_write(',');
  nb_put_key(key);
  for (uint32_t i = 0; i < count; i++) {
    const nb_tensor_info *info = &infos[i];
    nb_put_text(i == 0U ? "[{" : ",{");
    nb_put_key("name");
    nb_put_json_string(info->name);
    nb_port_write(',');
    nb_put_key("shape");
    nb_port_write('[');
    for (int32_t j = 0; j < info->rank; j++) {
      nb_put_text(j == 0 ? "" : ",");
      nb_put_unsigned((uint32_t)info->shape[j]);
    }
    nb_port_write(']');
    nb_next_pair("bytes", info->bytes);
    nb_port_write('}');
  }
  nb_port_write(']');
}

void nb_put_banner(void) {
  nb_port_write('{');
  nb_put_pair("netbooster", 1);
  nb_next_string("model", nb_model.name);
  nb_next_string("sha256", nb_model.sha256);
  nb_next_string("target", NB_TARGET_NAME);
  nb_next_pair("clock_hz", nb_port_clock_hz());
  nb_next_string("counter", nb_port_counter());
  nb_next_pair("arena_bytes", nb_model.arena_bytes);
  nb_next_pair("weights_bytes", nb_model.weights_bytes);
  nb_next_pair("tables_bytes", nb_model.tables_bytes);
  nb_next_pair("stack_bytes", nb_port_stack_bytes());
  nb_next_pair("layers", nb_model.layer_count);
  nb_next_pair("pushed_rows", nb_model.pushed_rows);
  nb_put_tensors("inputs", nb_model.inputs, nb_model.input_count);
  nb_put_tensors("outputs", nb_model.outputs, nb_model.output_count);
  nb_put_line("}");
}

void nb_command_banner(nb_harness_state *state, const nb_arguments *arguments) {
  (void)state, (void)arguments;
  nb_put_banner();
}

void nb_command_name(nb_harness_state *state, const nb_arguments *arguments) {
  (void)state, (void)arguments;
  nb_put_line("m-name-dut-[netbooster " NB_TARGET_NAME "]");
}

void nb_command_profile(nb_harness_state *state, const nb_arguments *arguments) {
  (void)state, (void)arguments;
  nb_put_text("m-profile-[netbooster-1]\r\nm-model-[");
  nb_put_text(nb_model.name);
  nb_put_text("]\r\nm-model-sha256-[");
  nb_put_text(nb_model.sha256);
  nb_put_line("]");
}

/* CRC-32 (IEEE 802.3) of the program in flash, bit by bit: a second for a megabyte. */
void nb_command_firmware(nb_harness_state *state, const nb_arguments *arguments) {
  (void)state, (void)arguments;
  const uint8_t *image = 0;
  uint32_t bytes = nb_port_image(&image);
  uint32_t crc = UINT32_MAX;
  for (uint32_t i = 0; i < bytes; i++) {
    crc ^= image[i];
    for (uint32_t bit = 0; bit < 8U; bit++) {
      crc = crc >> 1 ^ ((crc & 1U) != 0U ? 0xEDB88320U : 0U);
    }
  }
  if (bytes == 0U) {
    nb_put_error("firmware: the program does not lie in flash here");
    return;
  }
  nb_put_text("m-firmware-{");
  nb_put_pair("bytes", bytes);
  nb_port_write(',');
  nb_put_key("crc32");
  nb_port_write('"');
  nb_put_hex(~crc, 8);
  nb_put_line("\"}");
}

/* What each does is in firmware/README.md: half a kilobyte that no device has to keep. */
void nb_command_help(nb_harness_state *state, const nb_arguments *arguments) {
  (void)state, (void)arguments;
  nb_put_line(
      "help\r\nname\r\nprofile\r\nbanner\r\nfirmware\r\ntimestamp\r\ndb load N\r\n"
      "db HH[HH]*\r\ndb print\r\ninfer N [W=0]\r\nprofile layers\r\nresults\r\noutput\r\n"
      "memory\r\nselftest");
}

__attribute__((weak)) uint32_t nb_model_arena_used(void) {
  return nb_model.arena_bytes;
}

void nb_command_memory(nb_harness_state *state, const nb_arguments *arguments) {
  (void)state, (void)arguments;
  nb_put_text("m-memory-{");
  nb_put_pair("arena_bytes", nb_model_arena_used());
  nb_next_pair("stack_bytes", nb_port_stack_bytes());
  nb_next_pair("stack_used", nb_port_stack_used());
  nb_put_line("}");
}

static void nb_put_check(const char *name, int passed) {
  nb_put_text("m-selftest-");
  nb_put_text(name);
  nb_put_line(passed != 0 ? "-pass" : "-fail");
  if (passed == 0) {
    nb_put_text("e-[selftest: ");
    nb_put_text(name);
    nb_put_line(" failed]");
  }
}

/* Writes over the input tensor: the input has to be sent again afterwards. */
void nb_command_selftest(nb_harness_state *state, const nb_arguments *arguments) {
  (void)arguments;
  uint64_t start = nb_port_microseconds();
  int clock_runs = 0;
  nb_port_lap_start();
  for (uint32_t i = 0; i < 1000000U && clock_runs == 0; i++) {
    clock_runs = nb_port_microseconds() != start && nb_port_lap_ticks() != 0U;
  }
  nb_put_check("clock", clock_runs);
  int memory_holds = 1;
  uint32_t total = nb_resident_bytes();
  for (uint32_t pass = 0; pass < 2U; pass++) {
    for (uint32_t i = 0; i < total; i++) {
      *nb_input_byte(i) = (uint8_t)(i * 7U + pass * 0x55U);
    }
    for (uint32_t i = 0; i < total; i++) {
      memory_holds &= *nb_input_byte(i) == (uint8_t)(i * 7U + pass * 0x55U);
    }
  }
  state->input_ready = 0;
  state->output_ready = 0;
  state->expected = 0;
  nb_put_check("memory", memory_holds);
  nb_put_check("stack",
               nb_port_stack_bytes() == 0U || nb_port_stack_used() < nb_port_stack_bytes());
}
