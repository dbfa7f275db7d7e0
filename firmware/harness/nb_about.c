/* What the device, its model and its memory are: banner, name, checksum, self-test. */
#include <stdint.h>

#include "nb_model.h"
#include "nb_port.h"
#include "nb_state.h"
#include "nb_text.h"

#ifndef NB_TARGET_NAME
#error "NB_TARGET_NAME: the build gives the target's name as a string"
#endif

static void nb_next_pair(const char *key, uint32_t value) {
    nb_put_text(",");
    nb_put_pair(key, value);
}

static void nb_next_string(const char *key, const char *value) {
    nb_put_text(",");
    nb_put_key(key);
    nb_put_json_string(value);
}

static void nb_put_tensors(const char *key, const nb_tensor_info *infos, uint32_t count) {
    nb_put_text(",");
    nb_put_key(key);
    for (uint32_t i = 0; i < count; i++) {
        const nb_tensor_info *info = &infos[i];
        nb_put_text(i == 0U ? "[{" : ",{");
        nb_put_key("name");
        nb_put_json_string(info->name);
        nb_put_text(",");
        nb_put_key("shape");
        nb_put_text("[");
        for (int32_t j = 0; j < info->rank; j++) {
            nb_put_text(j == 0 ? "" : ",");
            nb_put_unsigned((uint32_t)info->shape[j]);
        }
        nb_put_text("]");
        nb_next_pair("bytes", info->bytes);
        nb_put_text("}");
    }
    nb_put_text("]");
}

void nb_put_banner(void) {
    nb_put_text("{");
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

void nb_command_name(void) {
    nb_put_line("m-name-dut-[netbooster " NB_TARGET_NAME "]");
}

void nb_command_profile(void) {
    nb_put_text("m-profile-[netbooster-1]\r\nm-model-[");
    nb_put_text(nb_model.name);
    nb_put_text("]\r\nm-model-sha256-[");
    nb_put_text(nb_model.sha256);
    nb_put_line("]");
}

/* CRC-32 (IEEE 802.3) of the program in flash, bit by bit: a second for a megabyte. */
void nb_command_firmware(void) {
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
    nb_put_text(",");
    nb_put_key("crc32");
    nb_put_text("\"");
    nb_put_hex(~crc, 8);
    nb_put_line("\"}");
}

void nb_command_help(void) {
    nb_put_line("help           this text\r\n"
                "name           name of the device\r\n"
                "profile        model and its hash\r\n"
                "banner         the boot banner again\r\n"
                "firmware       size and checksum of the program in flash\r\n"
                "timestamp      microseconds since boot\r\n"
                "db load N      announce N bytes of input\r\n"
                "db HH[HH]*     send them, in hexadecimal\r\n"
                "db print       show the input tensor\r\n"
                "infer N [W=0]  N timed inferences after W others\r\n"
                "profile layers one inference, each layer timed\r\n"
                "results        outputs as real numbers\r\n"
                "output         outputs as bytes\r\n"
                "memory         arena and stack\r\n"
                "selftest       check clock, memory and stack");
}

__attribute__((weak)) uint32_t nb_model_arena_used(void) {
    return nb_model.arena_bytes;
}

void nb_command_memory(void) {
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
void nb_command_selftest(void) {
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
    nb_state.input_ready = 0;
    nb_state.output_ready = 0;
    nb_state.expected = 0;
    nb_put_check("memory", memory_holds);
    nb_put_check("stack", nb_port_stack_bytes() == 0U ||
                              nb_port_stack_used() < nb_port_stack_bytes());
}
