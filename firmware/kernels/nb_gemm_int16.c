/* Matrix products with int16 weights: where flash has room, nothing has to be widened in the loop.
 *
 * Weights lie in the pairs that widened pixels have: (k, k+2) (k+1, k+3) for each 4 values of the
 * depth, one pair (k, k+1) for one or two at the end.
 *
 * One rounding (_single) needs sums 256 times as large: here the weights are, not the pixels.
 */
#include "nb_gemm_asm.h"

#ifdef NB_DSP

#define LOAD_2 "ldmia r11!, {r8, r9}\n"
#define LOAD_3 "ldmia r11!, {r8-r10}\n"
#define PAIRS_2(source) LOAD_2 PAIR("r8", source) PAIR("r9", SUM)
#define PAIRS_3(source) LOAD_3 PAIR("r8", source) PAIR("r9", SUM) PAIR("r10", SUM)
#define FIRST_4 PAIRS_2(BIAS)
#define FIRST_8 PAIRS_2(BIAS) PAIRS_2(SUM)
#define FIRST_12 PAIRS_3(BIAS) PAIRS_3(SUM)
#define FIRST_16 FIRST_12 PAIRS_2(SUM)
#define BLOCKS "2:\n" PAIRS_3(SUM) PAIRS_3(SUM) PAIRS_2(SUM) "subs r14, #1\nbne 2b\n"
#define LAST_2 "ldr r8, [r11], #4\n" PAIR("r8", SUM)

/* Without an output stride it is one pixel. */
#define OR_ONE(one)    \
  "ldr r1, [r0, #8]\n" \
  "cbnz r1, 8f\n"      \
  "b.w " #one "\n"     \
  "8:\n"

/* The frame is the struct without the weights. */
#define GEMM(name, entry, first, blocks, last, rounding)                    \
  __attribute__((naked)) void name(const struct nb_gemm *call) {            \
    (void)call; /* in r0 */                                                 \
    __asm__ volatile(                                                       \
        entry                                                               \
        "push {r4-r11, lr}\n"                                               \
        "sub sp, #28\n"                                                     \
        "ldr r11, [r0, #28]\n"                                              \
        "ldm r0, " FRAME "\n"                                               \
        "subs r14, #1\n"                                                    \
        "lsrs r14, #2\n" /* blocks of 16 behind the first 4, 8, 12 or 16 */ \
        "stm sp, " FRAME "\n" rounding##_NEXT("r4")                         \
        "1:\n" /* one output channel */                                     \
        first blocks last WRITE(rounding, "28"));                           \
  }

#define GEMM_BOTH(name, first, blocks, last)                      \
  GEMM(name, OR_ONE(nb_gemm_1_int16), first, blocks, last, TWICE) \
  GEMM(name##_single, OR_ONE(nb_gemm_1_int16_single), first, blocks, last, ONCE)

GEMM_BOTH(nb_gemm_4_int16, FIRST_4, NOTHING, NOTHING)
GEMM_BOTH(nb_gemm_8_int16, FIRST_8, NOTHING, NOTHING)
GEMM_BOTH(nb_gemm_12_int16, FIRST_12, NOTHING, NOTHING)
GEMM_BOTH(nb_gemm_16_int16, FIRST_16, NOTHING, NOTHING)
GEMM_BOTH(nb_gemm_4_blocks_int16, FIRST_4, BLOCKS, NOTHING)
GEMM_BOTH(nb_gemm_8_blocks_int16, FIRST_8, BLOCKS, NOTHING)
GEMM_BOTH(nb_gemm_12_blocks_int16, FIRST_12, BLOCKS, NOTHING)
GEMM_BOTH(nb_gemm_16_blocks_int16, FIRST_16, BLOCKS, NOTHING)
GEMM_BOTH(nb_gemm_4_2_int16, FIRST_4, NOTHING, LAST_2)
GEMM_BOTH(nb_gemm_8_2_int16, FIRST_8, NOTHING, LAST_2)
GEMM_BOTH(nb_gemm_12_2_int16, FIRST_12, NOTHING, LAST_2)
GEMM_BOTH(nb_gemm_16_2_int16, FIRST_16, NOTHING, LAST_2)
GEMM_BOTH(nb_gemm_4_blocks_2_int16, FIRST_4, BLOCKS, LAST_2)
GEMM_BOTH(nb_gemm_8_blocks_2_int16, FIRST_8, BLOCKS, LAST_2)
GEMM_BOTH(nb_gemm_12_blocks_2_int16, FIRST_12, BLOCKS, LAST_2)
GEMM_BOTH(nb_gemm_16_blocks_2_int16, FIRST_16, BLOCKS, LAST_2)

/* One pixel. r0 sum, r1 weights, r2 pixels, r3 fours left, r4-r7 pixels, r8-r10 r12 weights, r11 all
 * pixels, r14 channels; sp: output, zero point, pairs */
#define FOUR_PAIRS             \
  "ldmia r1!, {r8-r10, r12}\n" \
  "ldmia r2!, {r4-r7}\n"       \
  "smlad r0, r8, r4, r0\n"     \
  "smlad r0, r9, r5, r0\n"     \
  "smlad r0, r10, r6, r0\n"    \
  "smlad r0, r12, r7, r0\n"

#define GEMM_1(name, rounding)                                                    \
  __attribute__((naked)) void name(const struct nb_gemm *call) {                  \
    (void)call; /* in r0; `words` are pairs */                                    \
    __asm__ volatile(                                                             \
        "push {r4-r11, lr}\n"                                                     \
        "sub sp, #12\n"                                                           \
        "ldr r14, [r0], #4\n"                                                     \
        "ldm r0, {r4-r10}\n" /* output, -, zero point, -, wide, pairs, weights */ \
        "mov r11, r8\n"                                                           \
        "mov r1, r10\n"                                                           \
        "stm sp, {r4, r6, r9}\n" rounding##_NEXT("r14")                           \
        "1:\n" /* one output channel */                                           \
        "mov r2, r11\n"                                                           \
        "ldr r3, [sp, #8]\n"                                                      \
        "lsls r12, r3, #31\n" /* one pair more: minus; two more: carry */         \
        "bcc 2f\n"                                                                \
        "ldrd r8, r9, [r1], #8\n"                                                 \
        "ldrd r4, r5, [r2], #8\n"                                                 \
        "smlad r0, r8, r4, r0\n"                                                  \
        "smlad r0, r9, r5, r0\n"                                                  \
        "2:\n"                                                                    \
        "bpl 3f\n"                                                                \
        "ldr r8, [r1], #4\n"                                                      \
        "ldr r4, [r2], #4\n"                                                      \
        "smlad r0, r8, r4, r0\n"                                                  \
        "3:\n"                                                                    \
        "lsrs r3, #3\n"                                                           \
        "bcs 5f\n"                                                                \
        "beq 6f\n"                                                                \
        "subs r3, #1\n"                                                           \
        "4:\n" FOUR_PAIRS                                                         \
        "5:\n" FOUR_PAIRS                                                         \
        "subs r3, #1\n"                                                           \
        "bge 4b\n"                                                                \
        "6:\n"                                                                    \
        "ldrd r5, r6, [sp]\n"                                                     \
        rounding##_1("r12")                                                       \
        "strb r0, [r5], #1\n"                                                     \
        "str r5, [sp]\n" rounding##_NEXT("r14")                                   \
        rounding##_AGAIN                                                          \
        "add sp, #12\n"                                                           \
        "pop {r4-r11, pc}\n");                                                    \
  }

GEMM_1(nb_gemm_1_int16, TWICE)
GEMM_1(nb_gemm_1_int16_single, ONCE)

#else
typedef int nb_gemm_int16_is_empty;
#endif
