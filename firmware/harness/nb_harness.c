/* One loop: read a command byte by byte up to its `%`, run it, answer, end with `m-ready`.
 *
 * Everything that arrives is untrusted. A command is at most NB_COMMAND_BYTES long; what is
 * longer is read to its `%`, refused and forgotten. `db HH...` alone may be as long as it likes:
 * it is decoded as it arrives and goes straight into the input tensor, never past its end. */
#include "nb_harness.h"

#include <stdint.h>
#include <string.h>

#include "nb_model.h"
#include "nb_port.h"
#include "nb_text.h"

#ifndef NB_TARGET_NAME
#error "NB_TARGET_NAME: the build gives the target's name as a string"
#endif

#define NB_COMMAND_BYTES 48U
#define NB_PRINT_COLUMNS 8U
#define NB_MOST_RUNS 65535U /* of one `infer`: a garbled count must not keep the device away */

static struct {
    uint32_t input_index; /* the input tensor that `db` fills now */
    uint32_t expected;    /* bytes that `db load` announced; 0: none announced */
    uint32_t received;    /* bytes of them that have arrived */
    uint32_t runs;        /* inferences since the input was complete */
    int input_ready;      /* every input tensor holds what the host sent */
    int output_ready;     /* the output tensors hold the answer to that input */
} nb_state;

/* Neither inlined nor dropped: the instruction counter needs their addresses. */
__attribute__((noinline)) void nb_mark_begin(void) {
    __asm__ volatile("" ::: "memory");
}

__attribute__((noinline)) void nb_mark_end(void) {
    __asm__ volatile("" ::: "memory");
}

static void nb_put_error(const char *text) {
    nb_put_text("e-[");
    nb_put_text(text);
    nb_put_line("]");
}

static void nb_put_timestamp(void) {
    nb_put_text("m-lap-us-");
    nb_put_unsigned(nb_port_microseconds());
    nb_put_line("");
}

static uint32_t nb_total_bytes(const nb_tensor_info *tensors, uint32_t count) {
    uint32_t total = 0;
    for (uint32_t i = 0; i < count; i++) {
        total += tensors[i].bytes;
    }
    return total;
}

static uint32_t nb_input_bytes(void) {
    return nb_total_bytes(nb_model.inputs, nb_model.input_count);
}

/* What of it lies in memory at a time: of a model whose rows are pushed, the next row. */
static uint32_t nb_resident_bytes(void) {
    return nb_model.pushed_rows != 0U ? nb_model.row_bytes : nb_input_bytes();
}

/* The byte at `offset` of all input tensors laid end to end; `offset` is below their total. */
static uint8_t *nb_input_byte(uint32_t offset) {
    uint32_t index = 0;
    if (nb_model.pushed_rows != 0U) {
        return (uint8_t *)nb_model_input(0) + offset % nb_model.row_bytes;
    }
    while (offset >= nb_model.inputs[index].bytes) {
        offset -= nb_model.inputs[index].bytes;
        index++;
    }
    return (uint8_t *)nb_model_input(index) + offset;
}

/* FNV-1a over the input tensors: tells whether an inference wrote over its input, as it may
 * where the memory plan gives the input's place to a later tensor. */
static uint32_t nb_input_fingerprint(void) {
    uint32_t hash = 2166136261U;
    uint32_t total = nb_resident_bytes();
    for (uint32_t i = 0; i < total; i++) {
        hash = (hash ^ *nb_input_byte(i)) * 16777619U;
    }
    return hash;
}

static void nb_put_tensor(const nb_tensor_info *info) {
    nb_put_text("{");
    nb_put_key("name");
    nb_put_json_string(info->name);
    nb_put_text(",");
    nb_put_key("shape");
    for (int32_t i = 0; i < info->rank; i++) {
        nb_put_text(i == 0 ? "[" : ",");
        nb_put_unsigned((uint32_t)info->shape[i]);
    }
    nb_put_text(info->rank == 0 ? "[]," : "],");
    nb_put_pair("bytes", info->bytes);
    nb_put_text("}");
}

static void nb_put_banner(void) {
    nb_put_text("{");
    nb_put_key("netbooster");
    nb_put_text("1,");
    nb_put_key("model");
    nb_put_json_string(nb_model.name);
    nb_put_text(",");
    nb_put_key("sha256");
    nb_put_json_string(nb_model.sha256);
    nb_put_text(",");
    nb_put_key("target");
    nb_put_json_string(NB_TARGET_NAME);
    nb_put_text(",");
    nb_put_pair("clock_hz", nb_port_clock_hz());
    nb_put_text(",");
    nb_put_key("counter");
    nb_put_json_string(nb_port_counter());
    nb_put_text(",");
    nb_put_pair("arena_bytes", nb_model.arena_bytes);
    nb_put_text(",");
    nb_put_pair("weights_bytes", nb_model.weights_bytes);
    nb_put_text(",");
    nb_put_pair("tables_bytes", nb_model.tables_bytes);
    nb_put_text(",");
    nb_put_pair("stack_bytes", nb_port_stack_bytes());
    nb_put_text(",");
    nb_put_pair("layers", nb_model.layer_count);
    nb_put_text(",");
    nb_put_pair("pushed_rows", nb_model.pushed_rows);
    nb_put_text(",");
    nb_put_key("inputs");
    for (uint32_t i = 0; i < nb_model.input_count; i++) {
        nb_put_text(i == 0 ? "[" : ",");
        nb_put_tensor(&nb_model.inputs[i]);
    }
    nb_put_text("],");
    nb_put_key("outputs");
    for (uint32_t i = 0; i < nb_model.output_count; i++) {
        nb_put_text(i == 0 ? "[" : ",");
        nb_put_tensor(&nb_model.outputs[i]);
    }
    nb_put_line("]}");
}

static void nb_command_name(void) {
    nb_put_line("m-name-dut-[netbooster " NB_TARGET_NAME "]");
}

static void nb_command_profile(void) {
    nb_put_line("m-profile-[netbooster-1]");
    nb_put_text("m-model-[");
    nb_put_text(nb_model.name);
    nb_put_line("]");
    nb_put_text("m-model-sha256-[");
    nb_put_text(nb_model.sha256);
    nb_put_line("]");
}

/* CRC-32 (IEEE 802.3) of the program in flash, four bits at a time. */
static void nb_command_firmware(void) {
    const uint8_t *image = 0;
    uint32_t bytes = nb_port_image(&image);
    uint32_t crc = UINT32_MAX;
    for (uint32_t i = 0; i < bytes; i++) {
        static const uint32_t table[16] = {
            0x00000000U, 0x1DB71064U, 0x3B6E20C8U, 0x26D930ACU, 0x76DC4190U, 0x6B6B51F4U,
            0x4DB26158U, 0x5005713CU, 0xEDB88320U, 0xF00F9344U, 0xD6D6A3E8U, 0xCB61B38CU,
            0x9B64C2B0U, 0x86D3D2D4U, 0xA00AE278U, 0xBDBDF21CU};
        crc ^= image[i];
        crc = crc >> 4 ^ table[crc & 15U];
        crc = crc >> 4 ^ table[crc & 15U];
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

static void nb_command_help(void) {
    nb_put_line("help           this text");
    nb_put_line("name           name of the device");
    nb_put_line("profile        model and its hash");
    nb_put_line("banner         the boot banner again");
    nb_put_line("firmware       size and checksum of the program in flash");
    nb_put_line("timestamp      microseconds since boot");
    nb_put_line("db load N      announce N bytes of input");
    nb_put_line("db HH[HH]*     send them, in hexadecimal");
    nb_put_line("db print       show the input tensor");
    nb_put_line("infer N [W=0]  N timed inferences after W others");
    nb_put_line("profile layers one inference, each layer timed");
    nb_put_line("results        outputs as real numbers");
    nb_put_line("output         outputs as bytes");
    nb_put_line("memory         arena and stack");
    nb_put_line("selftest       check clock, memory and stack");
}

static void nb_db_load(const char *arguments) {
    uint32_t count = 0;
    if (nb_get_unsigned(&arguments, &count) == 0 || *arguments != '\0') {
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
    nb_push_row(NULL);
    nb_state.expected = count;
    nb_state.received = 0;
    nb_state.input_ready = 0;
    nb_state.output_ready = 0;
    nb_put_text("m-[Expecting ");
    nb_put_unsigned(count);
    nb_put_line(" bytes]");
}

static void nb_db_print(void) {
    uint32_t total = nb_resident_bytes();
    for (uint32_t i = 0; i < total; i++) {
        if (i % NB_PRINT_COLUMNS == 0U) {
            nb_put_text("m-buffer-");
        }
        nb_put_hex(*nb_input_byte(i), 2);
        if (i % NB_PRINT_COLUMNS == NB_PRINT_COLUMNS - 1U || i + 1U == total) {
            nb_put_line("");
        } else {
            nb_put_text("-");
        }
    }
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
                nb_put_text(",");
            }
            nb_put_thousandths((int32_t)(limited < 0.0F ? limited - 0.5F : limited + 0.5F));
        }
    }
    nb_put_line("]");
}

/* Output bytes are there and answer the input that was sent. */
static int nb_require_output(void) {
    if (nb_state.output_ready == 0) {
        nb_put_error(nb_state.runs > 1U
                         ? "a repeated inference overwrote the input: send it again, infer 1"
                         : "no result yet: send the input with db, then infer 1");
    }
    return nb_state.output_ready;
}

static void nb_command_output(void) {
    if (nb_require_output() == 0) {
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
static uint32_t nb_infer_once(void) {
    nb_port_busy(1);
    nb_port_lap_start();
    nb_mark_begin();
    nb_model_invoke();
    nb_mark_end();
    uint32_t ticks = nb_port_lap_ticks();
    nb_port_busy(0);
    nb_state.runs++;
    return ticks;
}

static void nb_command_infer(const char *arguments) {
    uint32_t count = 0;
    uint32_t warm_up = 0;
    if (nb_get_unsigned(&arguments, &count) == 0 || count == 0U) {
        nb_put_error("infer: give the number of inferences, 1 or more");
        return;
    }
    if (*arguments != '\0' && (nb_get_unsigned(&arguments, &warm_up) == 0 || *arguments != '\0')) {
        nb_put_error("infer: the number of warm-up inferences is no number");
        return;
    }
    if (count > NB_MOST_RUNS || warm_up > NB_MOST_RUNS) {
        nb_put_error("infer: at most 65535 inferences");
        return;
    }
    if (nb_state.input_ready == 0) {
        nb_put_error("infer: no input: send it with db load N, then db HH...");
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
    nb_state.runs = 0;
    nb_state.output_ready = 0;
    nb_put_text("m-warmup-start-");
    nb_put_unsigned(warm_up);
    nb_put_line("");
    for (uint32_t i = 0; i < warm_up; i++) {
        nb_model_invoke();
        nb_state.runs++;
        if (i == 0U) {
            nb_put_results();
        }
    }
    nb_put_line("m-warmup-done");
    nb_put_text("m-infer-start-");
    nb_put_unsigned(count);
    nb_put_line("");
    nb_put_timestamp();
    uint64_t ticks = 0;
    int overflow = 0;
    int stopped = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t lap = nb_infer_once();
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
        nb_put_text("m-lap-ticks-");
        nb_put_unsigned(ticks);
        nb_put_line("");
    }
    nb_put_line("m-infer-done");
    nb_state.input_ready =
        nb_model.pushed_rows == 0U && nb_input_fingerprint() == fingerprint;
    nb_state.output_ready = nb_state.input_ready != 0 || nb_state.runs == 1U;
    if (warm_up == 0U) {
        nb_put_results();
    }
}

static void nb_command_profile_layers(void) {
    if (nb_model.layer_count == 0U) {
        nb_put_error("profile layers: this engine has no layers to time");
        return;
    }
    if (nb_state.input_ready == 0) {
        nb_put_error("profile layers: no input: send it with db load N, then db HH...");
        return;
    }
    uint32_t fingerprint = nb_input_fingerprint();
    nb_profile_layers();
    nb_state.runs = 1;
    nb_state.input_ready = nb_input_fingerprint() == fingerprint;
    nb_state.output_ready = 1;
}

static void nb_command_memory(void) {
    nb_put_text("m-memory-{");
    nb_put_pair("arena_bytes", nb_model.arena_bytes);
    nb_put_text(",");
    nb_put_pair("stack_bytes", nb_port_stack_bytes());
    nb_put_text(",");
    nb_put_pair("stack_used", nb_port_stack_used());
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
static void nb_command_selftest(void) {
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

/* The text of `command` after `word` and its blanks; NULL where it begins with another word. */
static const char *nb_after(const char *command, const char *word) {
    size_t length = strlen(word);
    if (strncmp(command, word, length) != 0) {
        return NULL;
    }
    command += length;
    if (*command != ' ' && *command != '\0') {
        return NULL;
    }
    while (*command == ' ') {
        command++;
    }
    return command;
}

static void nb_run_command(const char *command) {
    static const struct {
        const char *word;
        void (*run)(void);
    } plain[] = {
        {"name", nb_command_name},       {"profile", nb_command_profile},
        {"banner", nb_put_banner},       {"firmware", nb_command_firmware},
        {"profile layers", nb_command_profile_layers},
        {"help", nb_command_help},       {"timestamp", nb_put_timestamp},
        {"db print", nb_db_print},       {"output", nb_command_output},
        {"memory", nb_command_memory},   {"selftest", nb_command_selftest},
    };
    const char *arguments = NULL;
    for (uint32_t i = 0; i < sizeof plain / sizeof plain[0]; i++) {
        arguments = nb_after(command, plain[i].word);
        if (arguments != NULL && *arguments == '\0') {
            plain[i].run();
            return;
        }
    }
    if ((arguments = nb_after(command, "infer")) != NULL) {
        nb_command_infer(arguments);
    } else if ((arguments = nb_after(command, "db load")) != NULL) {
        nb_db_load(arguments);
    } else if ((arguments = nb_after(command, "results")) != NULL && *arguments == '\0') {
        if (nb_require_output() != 0) {
            nb_put_results();
        }
    } else {
        nb_put_error("unknown command; help% lists them");
    }
}

/* Reads on to the end of the command and forgets it. Returns NB_PORT_END or 0. */
static int nb_skip_command(void) {
    int byte;
    do {
        byte = nb_port_read();
    } while (byte != '%' && byte != NB_PORT_END);
    return byte == NB_PORT_END ? NB_PORT_END : 0;
}

/* Of a model whose rows are pushed: takes the row that is complete. Counted as inference. */
static void nb_push_arrived(void) {
    if (nb_model.pushed_rows != 0U && nb_state.received % nb_model.row_bytes == 0U) {
        nb_mark_begin();
        nb_push_row(nb_model_input(0));
        nb_mark_end();
    }
}

/* `db HH...`: from the first digit on. Digits go into the input tensor as they come, and a
 * command that turns out bad takes back what it wrote: the whole input must be sent again. */
static int nb_stream_db(int byte) {
    const char *error = NULL;
    int high = -1;
    if (nb_state.expected == 0U) {
        error = "db: announce the input with db load N first";
    }
    while (error == NULL) {
        int digit = nb_hex_digit(byte);
        if (byte == NB_PORT_END) {
            return NB_PORT_END;
        }
        if (byte == '%') {
            if (high < 0) {
                break;
            }
            error = "db: odd number of hex digits; start again with db load N";
        } else if (digit < 0) {
            error = "db: not a hex digit; start again with db load N";
        } else if (high < 0) {
            high = digit;
            byte = nb_port_read();
        } else if (nb_state.received == nb_state.expected) {
            error = "db: more bytes than announced; start again with db load N";
        } else {
            *nb_input_byte(nb_state.received) = (uint8_t)(high * 16 + digit);
            nb_state.received++;
            nb_push_arrived();
            high = -1;
            byte = nb_port_read();
        }
    }
    if (error != NULL) {
        if (byte != '%' && nb_skip_command() == NB_PORT_END) {
            return NB_PORT_END;
        }
        nb_state.expected = 0;
        nb_state.input_ready = 0;
        nb_put_error(error);
    } else if (nb_state.received == nb_state.expected) {
        nb_state.expected = 0;
        nb_state.input_ready = 1;
        nb_state.output_ready = 0;
        nb_state.runs = 0;
        nb_put_line("m-load-done");
    }
    return 0;
}

/* Reads and answers one command. Returns NB_PORT_END where no more will come, or 0. */
static int nb_serve_command(void) {
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
        if (length == 3U && memcmp(command, "db ", 3) == 0 && nb_hex_digit(byte) >= 0) {
            return nb_stream_db(byte);
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
    nb_run_command(command);
    return 0;
}

void nb_harness_run(void) {
    nb_put_banner();
    nb_put_line("m-init-done");
    do {
        nb_put_line("m-ready");
    } while (nb_serve_command() != NB_PORT_END);
}
