/* A hand-written stand-in for generated code: output[i] = sum over 4 input bytes, plus weights.
 * Three layers with known work, so that the instruction counter can be checked. */
#include "nb_model.h"

#define INPUTS 16
#define OUTPUTS 4

#ifndef NB_FAKE_PAD_BYTES
#define NB_FAKE_PAD_BYTES 16
#endif

extern const int8_t nb_fake_weights[NB_FAKE_PAD_BYTES];

__attribute__((section(".nb_arena"), aligned(16))) static int8_t nb_arena[INPUTS + OUTPUTS];

static const nb_tensor_info nb_inputs[1] = {
    {"image", NB_INT8, 4, {1, 4, 4, 1}, INPUTS, 0.0078125f, 0}};
static const nb_tensor_info nb_outputs[1] = {
    {"scores", NB_INT8, 2, {1, OUTPUTS, 0, 0}, OUTPUTS, 0.00390625f, -128}};

const nb_model_info nb_model = {
    "fake",
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
    INPUTS + OUTPUTS,
    sizeof nb_fake_weights,
    0,
    1,
    1,
    3,
    0,
    nb_inputs,
    nb_outputs,
    INPUTS,
    0,
};

void *nb_model_input(uint32_t index) {
    (void)index;
    return nb_arena;
}

const void *nb_model_output(uint32_t index) {
    (void)index;
    return nb_arena + INPUTS;
}

void nb_layer_000(void);
void nb_layer_001(void);
void nb_layer_002(void);

/* Input byte 0 = 86 asks for a fault, 87 for a stack without end, 88 for an endless loop. */
#if defined(__arm__)
static volatile uint32_t nb_sink;

__attribute__((noinline)) static uint32_t nb_overflow(uint32_t depth) {
    volatile uint32_t pad[16];
    pad[depth % 16U] = depth;
    return depth == UINT32_MAX ? 0U : nb_overflow(depth + 1U) + pad[depth % 16U];
}
#endif

__attribute__((noinline)) void nb_layer_000(void) {
    for (int32_t i = 0; i < OUTPUTS; i++) {
        int32_t sum = 0;
        for (int32_t j = 0; j < 4; j++) {
            sum += nb_arena[4 * i + j];
        }
        nb_arena[INPUTS + i] = (int8_t)(sum > 127 ? 127 : sum < -128 ? -128 : sum);
    }
}

/* 1,000,000 turns of a three-instruction loop. */
__attribute__((noinline)) void nb_layer_001(void) {
#if defined(__arm__)
    uint32_t count = 1000000U;
    __asm__ volatile("1: nop\n\tsubs %0, %0, #1\n\tbne 1b" : "+r"(count) : : "cc");
    if (nb_arena[0] == 86) {
        __asm__ volatile("udf #0");
    }
    while (nb_arena[0] == 88) {
        nb_sink++;
    }
    if (nb_arena[0] == 87) {
        nb_sink = nb_overflow(0);
    }
#endif
}

__attribute__((noinline)) void nb_layer_002(void) {
    for (int32_t i = 0; i < OUTPUTS; i++) {
        nb_arena[INPUTS + i] = (int8_t)(nb_arena[INPUTS + i] ^ nb_fake_weights[i]);
    }
    nb_arena[INPUTS - 1] = 0; /* as a plan does that reuses the input's place */
}

uint32_t nb_model_run(uint32_t layer) {
    static void (*const layers[])(void) = {nb_layer_000, nb_layer_001, nb_layer_002};
    layers[layer]();
    return layer + 1U;
}

/* The input comes as a whole (nb_model.pushed_rows is 0); a row here is all of it. */
int nb_push_row(const void *row) {
    if (row == 0) {
        return 0;
    }
    for (uint32_t i = 0; i < INPUTS; i++) {
        nb_arena[i] = ((const int8_t *)row)[i];
    }
    return 1;
}

void nb_model_invoke(void) {
    nb_layer_000();
    nb_layer_001();
    nb_layer_002();
}
