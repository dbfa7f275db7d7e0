/* The input tensor and the commands that fill it: `db load N`, `db HH...`, `db print`.
 *
 * Digits go straight into the tensor as they arrive, never past its end. */
#include <stdint.h>

#include "nb_model.h"
#include "nb_port.h"
#include "nb_state.h"
#include "nb_text.h"

#define NB_PRINT_COLUMNS 8U

static uint32_t nb_input_bytes(void) {
    uint32_t total = 0;
    for (uint32_t i = 0; i < nb_model.input_count; i++) {
        total += nb_model.inputs[i].bytes;
    }
    return total;
}

/* Of a model whose rows are pushed it is the next row. */
uint32_t nb_resident_bytes(void) {
    return nb_model.pushed_rows != 0U ? nb_model.row_bytes : nb_input_bytes();
}

uint8_t *nb_input_byte(uint32_t offset) {
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
uint32_t nb_input_fingerprint(void) {
    uint32_t hash = 2166136261U;
    uint32_t total = nb_resident_bytes();
    for (uint32_t i = 0; i < total; i++) {
        hash = (hash ^ *nb_input_byte(i)) * 16777619U;
    }
    return hash;
}

void nb_command_db_load(const char *arguments) {
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
    (void)nb_push_row(0);
    nb_state.expected = count;
    nb_state.received = 0;
    nb_state.input_ready = 0;
    nb_state.output_ready = 0;
    nb_put_text("m-[Expecting ");
    nb_put_unsigned(count);
    nb_put_line(" bytes]");
}

void nb_command_db_print(void) {
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
static void nb_push_arrived(void) {
    if (nb_model.pushed_rows != 0U && nb_state.received % nb_model.row_bytes == 0U) {
        nb_mark_begin();
        (void)nb_push_row(nb_model_input(0));
        nb_mark_end();
    }
}

/* A command that turns out bad takes back what it wrote: the whole input must be sent again. */
int nb_stream_db(int byte) {
    const char *error = 0;
    int high = -1;
    if (nb_state.expected == 0U) {
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
        } else if (nb_state.received == nb_state.expected) {
            error = "more bytes than announced";
        } else {
            *nb_input_byte(nb_state.received) = (uint8_t)(high * 16 + digit);
            nb_state.received++;
            nb_push_arrived();
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
        nb_put_line(nb_state.expected != 0U ? "; start again with db load N]" : "]");
        nb_state.expected = 0;
        nb_state.input_ready = 0;
    } else if (nb_state.received == nb_state.expected) {
        nb_state.expected = 0;
        nb_state.input_ready = 1;
        nb_state.output_ready = 0;
        nb_state.runs = 0;
        nb_put_line("m-load-done");
    }
    return 0;
}
