/* See nb_gemm_s8.h. The inner loops are assembly: GCC uses no LDM and spills the accumulators. */
#include "nb_gemm_asm.h"

#ifdef NB_DSP

/* Weights are widened in r10. */
#define FOUR(weight, source)                     \
  "sxtb16 r10, " weight "\n" PAIR("r10", source) \
  "sxtb16 r10, " weight ", ror #8\n" PAIR("r10", SUM)
/* The last one or two values of the depth: a pair that widening has made. */
#define TWO(weight, source)                   \
  "orr r10, " weight ", " weight ", lsl #8\n" \
  "sxtb16 r10, r10\n" PAIR("r10", source)
#define LOAD_1 "ldr r8, [r11], #4\n"
#define LOAD_2 "ldrd r8, r9, [r11], #8\n"
#define MORE_8 LOAD_2 FOUR("r8", SUM) FOUR("r9", SUM)
#define FIRST_4 LOAD_1 FOUR("r8", BIAS)
#define FIRST_8 LOAD_2 FOUR("r8", BIAS) FOUR("r9", SUM)
#define LAST_2 LOAD_1 TWO("r8", SUM)

/* The first word or, where their number is even, the first two; then the loop over four words, from
 * its middle where two more than a multiple of four are left; or not at all. Both places are found
 * once and lie in the frame: one body for every depth takes 0.6 KB of flash, one for each remainder
 * took 2 KB and one or two instructions less for the four outputs.
 *
 * The frame is the struct, but that the two places take the weights' place. ADR needs the
 * alignment. */
#define GEMM_INT8(name, last, rounding)                                                           \
  __attribute__((naked, aligned(4))) void name(const struct nb_gemm *call) {                      \
    (void)call; /* in r0 */                                                                       \
    __asm__ volatile(                                                                             \
        "push {r4-r11, lr}\n"                                                                     \
        "sub sp, #36\n"                                                                           \
        "ldr r11, [r0, #28]\n"                                                                    \
        "ldm r0, " FRAME "\n"                                                                     \
        "adr r10, 6f\n"                                                                           \
        "lsrs r14, #1\n" /* carry: an odd number of words */                                      \
        "itt cs\n"                                                                                \
        "addcs r14, #1\n"                                                                         \
        "adrcs r10, 5f\n"                                                                         \
        "adr r5, 3f\n"                                                                            \
        "lsrs r14, #1\n" /* 1 + the pairs of words behind the first ones; carry: they are even */ \
        "it cs\n"                                                                                 \
        "adrcs r5, 2f\n"                                                                          \
        "it eq\n"                                                                                 \
        "adreq r5, 4f\n"                                                                          \
        "orr r10, #1\n" /* Thumb */                                                               \
        "orr r5, #1\n"                                                                            \
        "stm sp, " FRAME "\n"                                                                     \
        "strd r10, r5, [sp, #28]\n" rounding##_NEXT("r4")                                         \
        "1:\n" /* one output channel */                                                           \
        "ldr pc, [sp, #28]\n"                                                                     \
        "5:\n" FIRST_4 "ldr pc, [sp, #32]\n"                                                      \
        "6:\n" FIRST_8 "ldr pc, [sp, #32]\n"                                                      \
        "2:\n" MORE_8                                                                             \
        "3:\n" MORE_8                                                                             \
        "subs r14, #1\n"                                                                          \
        "bne 2b\n"                                                                                \
        "4:\n" last                                                                               \
        WRITE(rounding, "36"));                                                                   \
  }

GEMM_INT8(nb_gemm, NOTHING, TWICE)
GEMM_INT8(nb_gemm_2, LAST_2, TWICE)
GEMM_INT8(nb_gemm_single, NOTHING, ONCE)
GEMM_INT8(nb_gemm_2_single, LAST_2, ONCE)

/* Up to eight words of the depth without a loop. */
#define WORDS_4 FIRST_4
#define WORDS_8 FIRST_8
#define WORDS_12 FIRST_4 MORE_8
#define WORDS_16 FIRST_8 MORE_8
#define WORDS_20 WORDS_12 MORE_8
#define WORDS_24 WORDS_16 MORE_8
#define WORDS_28 WORDS_20 MORE_8
#define WORDS_32 WORDS_24 MORE_8
#define GEMM_SHORT(name, body, rounding)                           \
  __attribute__((naked)) void name(const struct nb_gemm *call) {   \
    (void)call; /* in r0 */                                        \
    __asm__ volatile(                                              \
        "push {r4-r11, lr}\n"                                      \
        "sub sp, #28\n"                                            \
        "ldr r11, [r0, #28]\n"                                     \
        "ldm r0, " FRAME "\n"                                      \
        "stm sp, " FRAME "\n" rounding##_NEXT("r4")                \
        "1:\n" body WRITE(rounding, "28"));                        \
  }
#define GEMM_OF(depth)                                             \
  GEMM_SHORT(nb_gemm_##depth, WORDS_##depth, TWICE)                \
  GEMM_SHORT(nb_gemm_##depth##_2, WORDS_##depth LAST_2, TWICE)     \
  GEMM_SHORT(nb_gemm_##depth##_single, WORDS_##depth, ONCE)        \
  GEMM_SHORT(nb_gemm_##depth##_2_single, WORDS_##depth LAST_2, ONCE)
GEMM_OF(4)
GEMM_OF(8)
GEMM_OF(12)
GEMM_OF(16)
GEMM_OF(20)
GEMM_OF(24)
GEMM_OF(28)
GEMM_OF(32)

/* The last 1 to 3 values of a row are read with those before them, and shifted down. One or two
 * become the pairs of LAST_2: the first of the two groups of pairs. */
#define WIDEN(name, prepare, even, odd)                                                 \
  __attribute__((naked)) void name(const int8_t *rows, uint32_t stride, uint32_t depth, \
                                   int16_t *wide) {                                     \
    (void)rows, (void)stride, (void)depth, (void)wide; /* in r0-r3 */                   \
    __asm__ volatile(                                                                   \
        "push {r2, r4-r11, lr}\n"                                                       \
        "mov r12, r3\n"                                                                 \
        "lsr lr, r2, #2\n"                                                              \
        "add r2, r0, r1, lsl #1\n" prepare                                              \
        "1:\n"                                                                          \
        "ldr r9, [r0, r1]\n"                                                            \
        "ldr r8, [r0], #4\n"                                                            \
        "ldr r11, [r2, r1]\n"                                                           \
        "ldr r10, [r2], #4\n"                                                           \
        "2:\n" even("r4", "r8") even("r5", "r9") even("r6", "r10") even("r7", "r11")    \
        odd("r8") odd("r9") odd("r10") odd("r11")                                       \
        "stmia r12!, {r4-r11}\n"                                                        \
        "subs lr, #1\n"                                                                 \
        "bne 1b\n"                                                                      \
        "ldr r4, [sp]\n"                                                                \
        "ands r4, #3\n"                                                                 \
        "beq 3f\n"                                                                      \
        "str lr, [sp]\n" /* 0: none are left next time */                               \
        "subs r4, #4\n"                                                                 \
        "add r0, r4\n"                                                                  \
        "add r2, r4\n"                                                                  \
        "ldr r8, [r0]\n"                                                                \
        "ldr r9, [r0, r1]\n"                                                            \
        "ldr r10, [r2]\n"                                                               \
        "ldr r11, [r2, r1]\n"                                                           \
        "lsls r4, #3\n"                                                                 \
        "negs r4, r4\n"                                                                 \
        "lsrs r8, r4\n"                                                                 \
        "lsrs r9, r4\n"                                                                 \
        "lsrs r10, r4\n"                                                                \
        "lsrs r11, r4\n"                                                                \
        "cmp r4, #8\n"                                                                  \
        "beq 4f\n"                                                                      \
        "orr r8, r8, r8, lsl #8\n"                                                      \
        "orr r9, r9, r9, lsl #8\n"                                                      \
        "orr r10, r10, r10, lsl #8\n"                                                   \
        "orr r11, r11, r11, lsl #8\n"                                                   \
        "4:\n"                                                                          \
        "movs lr, #1\n"                                                                 \
        "b 2b\n"                                                                        \
        "3:\n"                                                                          \
        "pop {r2, r4-r11, pc}\n");                                                      \
  }

#define EVEN(to, from) "sxtb16 " to ", " from "\n"
#define ODD(i) "sxtb16 " i ", " i ", ror #8\n"
#define EVEN_256(to, from) "and " to ", r3, " from ", lsl #8\n"
#define ODD_256(i) "and " i ", r3\n"
WIDEN(nb_gemm_widen, NOTHING, EVEN, ODD)
WIDEN(nb_gemm_widen_256, "mov r3, #0xff00ff00\n", EVEN_256, ODD_256)

/* One pixel. r0 sum, r1 weights, r2 pixels, r3 words left, r4-r7 pixels, r8 r9 weights, r10 widened
 * weights, r11 all pixels, r12 words, r14 channels; sp: output, zero point */
#define WORD(weight, low, high)      \
  "sxtb16 r10, " weight "\n"         \
  "smlad r0, r10, " low ", r0\n"     \
  "sxtb16 r10, " weight ", ror #8\n" \
  "smlad r0, r10, " high ", r0\n"
#define TWO_WORDS           \
  "ldrd r8, r9, [r1], #8\n" \
  "ldmia r2!, {r4-r7}\n" WORD("r8", "r4", "r5") WORD("r9", "r6", "r7")

#define GEMM_1(name, rounding)                                                    \
  __attribute__((naked)) static void name(const struct nb_gemm *call) {           \
    (void)call; /* in r0; `words` are rounded up */                               \
    __asm__ volatile(                                                             \
        "push {r4-r11, lr}\n"                                                     \
        "sub sp, #8\n"                                                            \
        "ldr r14, [r0], #4\n"                                                     \
        "ldm r0, {r4-r10}\n" /* output, -, zero point, -, wide, words, weights */ \
        "mov r11, r8\n"                                                           \
        "mov r1, r10\n"                                                           \
        "mov r12, r9\n"                                                           \
        "strd r4, r6, [sp]\n" rounding##_NEXT("r14")                              \
        "1:\n" /* one output channel */                                           \
        "mov r2, r11\n"                                                           \
        "lsrs r3, r12, #1\n"                                                      \
        "bcc 2f\n"                                                                \
        "ldr r8, [r1], #4\n"                                                      \
        "ldrd r4, r5, [r2], #8\n" WORD("r8", "r4", "r5")                          \
        "2:\n"                                                                    \
        "lsrs r3, #1\n"                                                           \
        "bcs 4f\n"                                                                \
        "beq 5f\n"                                                                \
        "subs r3, #1\n"                                                           \
        "3:\n" TWO_WORDS                                                          \
        "4:\n" TWO_WORDS                                                          \
        "subs r3, #1\n"                                                           \
        "bge 3b\n"                                                                \
        "5:\n"                                                                    \
        "ldrd r5, r6, [sp]\n" rounding##_1("r9")                                  \
        "strb r0, [r5], #1\n"                                                     \
        "str r5, [sp]\n" rounding##_NEXT("r14") rounding##_AGAIN                  \
        "add sp, #8\n"                                                            \
        "pop {r4-r11, pc}\n");                                                    \
  }

GEMM_1(gemm_1, TWICE)
GEMM_1(gemm_1_single, ONCE)

void nb_gemm_1_pixel(nb_gemm_function *gemm, const void *weights, const nb_requantization *r,
                     const int8_t *row, uint32_t depth, int16_t *wide, int8_t *output) {
  const int of_int16 = r->fast & NB_FAST_INT16;
  const int scaled = r->fast == NB_FAST_SINGLE;
  /* int16 weights have one pair for the last one or two values. */
  const uint32_t rest = of_int16 ? (depth % 4 + 1) / 2 % 2 : 0;
  const uint32_t words = (depth + 3) / 4;
  uint32_t *pairs = (uint32_t *)(void *)wide;
  for (uint32_t i = 0; i < words; i++) {
    uint32_t word = 0;
    if (4 * i + 4 <= depth) {
      word = nb_load_word(row + 4 * i);
    } else {
      for (uint32_t k = depth; k-- > 4 * i;) word = word << (rest ? 16 : 8) | (uint8_t)row[k];
    }
    pairs[2 * i] = scaled ? word << 8 & NB_ODD_BYTES : nb_sxtb16(word);
    pairs[2 * i + 1] = scaled ? word & NB_ODD_BYTES : nb_sxtb16_high(word);
  }
  const struct nb_gemm call = {
      r->channels, output, 0, nb_gemm_zero_point(r), 0, wide, of_int16 ? 2 * words - rest : words, weights,
  };
  (of_int16 ? gemm : scaled ? gemm_1_single : gemm_1)(&call);
}

#else
typedef int nb_gemm_s8_is_empty;
#endif
