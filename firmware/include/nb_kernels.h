// SPDX-License-Identifier: Apache-2.0
/* The kernels: int8 tensors in NHWC order, batch 1, constants prepared by the compiler.
 *
 * A kernel gets a layer: a const struct with everything that is known at compile time, its
 * input(s), its output and, where it needs one, a scratch buffer aligned to 4 bytes. The comment on
 * the parameters says how many bytes. Results equal the TensorFlow Lite Micro reference kernels in
 * every byte.
 *
 * Kernels whose parameters have rings (nb_ring) compute the output rows first..last - 1 only: so
 * the same kernel makes a whole map at once, or a few rows of it as soon as the input rows that
 * they need are there. The others make everything, whatever `first` and `last` say.
 */
#ifndef NB_KERNELS_H
#define NB_KERNELS_H

#include <stdint.h>

#include "nb_backend.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A layer of a model. One type for all kernels: a model is a table of layers, not a list of calls,
 * which would take twice the flash. */
typedef struct nb_layer nb_layer;
typedef void nb_kernel(const nb_layer *layer, uint32_t first, uint32_t last);
struct nb_layer {
  nb_kernel *kernel;
  const void *params; /* the kernel's own struct */
  const int8_t *input;
  union {
    void *scratch;
    const int8_t *second;        /* the other of two inputs */
    const int8_t *const *inputs; /* of any number of inputs */
  };
  int8_t *output;
  uint16_t height; /* output rows, of kernels that can compute some of them */
  uint8_t stream;  /* the number of the stream that begins here, from 1 on; 0: none does */
};
#ifdef __arm__ /* what the emulator's counter divides addresses by */
_Static_assert(sizeof(nb_layer) == 24, "deploy/core/layers.py: ENTRY_BYTES");
#endif

/* Bias, requantization and clamp of every output channel, fused into the kernels.
 *
 * output = clamp(zero_point + round(accumulator * multiplier / 2**(31 + shift)))
 *
 * rounded twice, as the reference does: after the multiplication and after the shift. Behind ReLU
 * the compiler mostly finds one rounding that gives the same bytes for every accumulator,
 *
 * output = clamp((offset + (256 * accumulator * slope >> 32)) >> 10)
 *
 * with a little of it in the bias: see deploy/tflite/single_rounding.py.
 */
typedef struct {
  /* If fast, channel i: [2i] the bias, with the input's zero point folded in, times 64 plus the right
   * shift, [2i + 1] twice the multiplier modulo 2**32; behind the last channel of a matrix product
   * NB_CHANNELS_END. Otherwise: [3i] the bias, [3i + 1] as above, [3i + 2] the right shift; negative:
   * left shift before multiplying.
   * NB_FAST_SINGLE, channel i: [2i] 256 times the bias, [2i + 1] the slope, and as the end
   * NB_CHANNELS_END_SINGLE. */
  const int32_t *channels;
  int8_t zero_point; /* NB_FAST_SINGLE: by what the offset differs from NB_SINGLE_OFFSET */
  int8_t minimum, maximum;
  uint8_t fast; /* 1: every shift is 1..24, no sum can overflow and every bias fits into 26 bits;
                   or flags, and the same is true: NB_FAST_SINGLE, one rounding; NB_FAST_INT16, the
                   weights are int16, see nb_gemm_function */
} nb_requantization;
#define NB_CHANNELS_END 32
#define NB_FAST_INT16 2
#define NB_FAST_SINGLE 4
#define NB_CHANNELS_END_SINGLE INT32_MIN
#define NB_SINGLE_OFFSET (-(128 << NB_SINGLE_SHIFT) + (1 << NB_SINGLE_SHIFT >> 1))

/* The newest rows of a map: row y lies in place (y + shift) % rows. A whole map is a ring of all
 * its rows with shift 0. */
typedef struct {
  uint16_t rows, shift;
} nb_ring;

/* `pitch` in the parameters below: bytes from an output pixel to the next. That is its channels, or
 * more where the output is a piece of a CONCATENATION: then each pixel has other layers' channels
 * behind (or before) those that the kernel writes, and it writes nothing else. */

/* Matrix product of four pixels; with _2 their depth leaves one or two modulo 4, _single is for
 * NB_FAST_SINGLE, a number is the depth but for that rest. Those of int16 weights (nb_gemm_int16.S)
 * go by the depth: the first 4, 8, 12 or 16 values, blocks of 16 where there are more; three at the
 * end count as four. They make one pixel as well. 0 for cores without DSP instructions. */
struct nb_gemm;
typedef void nb_gemm_function(const struct nb_gemm *call);
nb_gemm_function nb_gemm, nb_gemm_2, nb_gemm_single, nb_gemm_2_single, nb_gemm_4, nb_gemm_4_single,
    nb_gemm_4_2, nb_gemm_4_2_single, nb_gemm_8, nb_gemm_8_single, nb_gemm_8_2, nb_gemm_8_2_single,
    nb_gemm_12, nb_gemm_12_single, nb_gemm_12_2, nb_gemm_12_2_single, nb_gemm_16, nb_gemm_16_single,
    nb_gemm_16_2, nb_gemm_16_2_single, nb_gemm_20, nb_gemm_20_single, nb_gemm_20_2,
    nb_gemm_20_2_single, nb_gemm_24, nb_gemm_24_single, nb_gemm_24_2, nb_gemm_24_2_single,
    nb_gemm_28, nb_gemm_28_single, nb_gemm_28_2, nb_gemm_28_2_single, nb_gemm_32, nb_gemm_32_single,
    nb_gemm_32_2, nb_gemm_32_2_single;
nb_gemm_function nb_gemm_4_int16, nb_gemm_4_int16_single, nb_gemm_8_int16, nb_gemm_8_int16_single,
    nb_gemm_12_int16, nb_gemm_12_int16_single, nb_gemm_16_int16, nb_gemm_16_int16_single,
    nb_gemm_4_blocks_int16, nb_gemm_4_blocks_int16_single, nb_gemm_8_blocks_int16,
    nb_gemm_8_blocks_int16_single, nb_gemm_12_blocks_int16, nb_gemm_12_blocks_int16_single,
    nb_gemm_16_blocks_int16, nb_gemm_16_blocks_int16_single, nb_gemm_4_2_int16,
    nb_gemm_4_2_int16_single, nb_gemm_8_2_int16, nb_gemm_8_2_int16_single, nb_gemm_12_2_int16,
    nb_gemm_12_2_int16_single, nb_gemm_16_2_int16, nb_gemm_16_2_int16_single,
    nb_gemm_4_blocks_2_int16, nb_gemm_4_blocks_2_int16_single, nb_gemm_8_blocks_2_int16,
    nb_gemm_8_blocks_2_int16_single, nb_gemm_12_blocks_2_int16, nb_gemm_12_blocks_2_int16_single,
    nb_gemm_16_blocks_2_int16, nb_gemm_16_blocks_2_int16_single, nb_gemm_1_int16,
    nb_gemm_1_int16_single;

/* in_c is at least 4. Scratch: 8 * in_c rounded up to 4. Weights: [out_c][in_c rounded up to 4].
 * nb_conv_1x1_s8 needs a requantization that is `fast`; nb_conv_1x1_any_s8 has no such need and uses
 * neither gemm nor scratch. Here and below, layers that clamp to less than int8 need the kernel with
 * _clamped, where there is one: the others' inner loops only saturate. */
typedef struct {
  const void *weights; /* int8 */
  nb_requantization requantization;
  nb_gemm_function *gemm;
  uint16_t width; /* pixels a row */
  uint16_t in_c, out_c, pitch;
  nb_ring in, out;
} nb_conv_1x1_params;
nb_kernel nb_conv_1x1_s8;
nb_kernel nb_conv_1x1_clamped_s8;
nb_kernel nb_conv_1x1_any_s8;

/* Scratch: 12 * K, K = kernel_h * kernel_w * in_c rounded up to 4; none for the grouped kernel.
 * Weights: [out_c][K], K padded with zeros; for the grouped kernel with group_c for in_c.
 * nb_conv_s8 needs a requantization that is `fast`, the others do not. */
typedef struct {
  const void *weights; /* int8 */
  nb_requantization requantization;
  nb_gemm_function *gemm;
  uint16_t in_h, in_w, in_c;
  uint16_t out_h, out_w, out_c, pitch;
  uint16_t group_c; /* input channels that one output channel reads */
  int16_t input_zero_point;
  uint8_t kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w;
  uint16_t pad_top, pad_left;
  nb_ring in, out;
} nb_conv_params;
nb_kernel nb_conv_s8;
nb_kernel nb_conv_clamped_s8;
nb_kernel nb_conv_any_s8;
nb_kernel nb_conv_grouped_s8;

/* As many output channels as input channels. Weights: [in_c][kernel_h * kernel_w]. May write over
 * its input where the compiler found that safe; never with a pitch that is not in_c. Scratch:
 * 8 * rows * row_stride bytes (four channels' padded rows in int16); row_stride is even and covers
 * what the inner loops read: outputs in fours. Those named by kernel and stride are for square
 * kernels without dilation whose requantization is `fast`. */
struct nb_depthwise_rows;
typedef void nb_depthwise_function(struct nb_depthwise_rows *call);
nb_depthwise_function nb_depthwise_rows_any, nb_depthwise_rows_3_1, nb_depthwise_rows_3_2,
    nb_depthwise_rows_5_1, nb_depthwise_rows_5_2, nb_depthwise_rows_7_1, nb_depthwise_rows_7_2,
    nb_depthwise_rows_3_1_single, nb_depthwise_rows_3_2_single, nb_depthwise_rows_5_1_single,
    nb_depthwise_rows_5_2_single, nb_depthwise_rows_7_1_single, nb_depthwise_rows_7_2_single;
typedef struct {
  const int8_t *weights;
  nb_requantization requantization;
  uint16_t in_h, in_w, in_c;
  uint16_t out_h, out_w, pitch;
  int16_t input_zero_point;
  uint8_t kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w;
  uint16_t pad_top, pad_left;
  uint16_t rows, row_stride;
  nb_ring in, out;
  nb_depthwise_function *function;
} nb_depthwise_conv_params;
nb_kernel nb_depthwise_conv_s8;
nb_kernel nb_depthwise_conv_clamped_s8;

/* Weights: [out_c][kernel_h * kernel_w]. No scratch. */
typedef struct {
  const int8_t *weights;
  nb_requantization requantization;
  uint16_t in_h, in_w, in_c;
  uint16_t out_h, out_w, out_c, pitch; /* out_c: a multiple of in_c */
  int16_t input_zero_point;
  uint8_t kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w;
  uint16_t pad_top, pad_left;
  nb_ring in, out;
} nb_depthwise_conv_multiplier_params;
nb_kernel nb_depthwise_conv_multiplier_s8;

/* Scratch: 2 * in_c rounded up to 4. Weights: [out_c][in_c rounded up to 4]. nb_fully_connected_s8
 * needs a requantization that is `fast`; nb_fully_connected_any_s8 neither that nor scratch. */
typedef struct {
  const void *weights; /* int8 */
  nb_requantization requantization;
  nb_gemm_function *gemm; /* of int16 weights */
  uint32_t batch;
  uint16_t in_c, out_c;
} nb_fully_connected_params;
nb_kernel nb_fully_connected_s8;
nb_kernel nb_fully_connected_clamped_s8;
nb_kernel nb_fully_connected_any_s8;

/* Kernels that go element by element, wherever a pixel ends, have a variant that writes a piece of
 * a CONCATENATION, pixel by pixel; never over an input. */
typedef struct {
  uint16_t channels, pitch;
} nb_pixels;

/* output = saturate(offset + input0 * factor[0] + input1 * factor[1] >> NB_WEIGHTED_SUM_SHIFT). The
 * output may be either input's memory, or start before it. */
#define NB_WEIGHTED_SUM_SHIFT 22
typedef struct {
  uint32_t row; /* elements a row */
  int32_t factor[2], offset;
  nb_ring in[2], out;
} nb_weighted_sum_params;
typedef struct {
  nb_weighted_sum_params whole;
  nb_pixels pixels;
} nb_weighted_sum_pixels_params;
nb_kernel nb_weighted_sum_s8;
nb_kernel nb_weighted_sum_pixels_s8;

/* Index 0 and 1: the inputs, 2: the output. Shifts are to the right and not negative. The output
 * may be either input's memory, or start before it. */
typedef struct {
  uint32_t row; /* elements a row */
  int32_t multiplier[3];
  int16_t zero_point[3];
  uint8_t shift[3];
  int16_t minimum, maximum;
  nb_ring in[2], out;
} nb_add_params;
typedef struct {
  nb_add_params whole;
  nb_pixels pixels;
} nb_add_pixels_params;
nb_kernel nb_add_s8;
nb_kernel nb_add_pixels_s8;

/* Mean over all pixels of every channel; the output may be the input's memory. */
typedef struct {
  uint32_t pixels, channels;
  int32_t offset;     /* minus the input's zero point times pixels */
  int32_t multiplier; /* not normalized */
  int16_t shift;      /* right shift; negative: left shift before multiplying */
  int16_t zero_point;
} nb_mean_params;
nb_kernel nb_mean_s8;

typedef struct {
  uint16_t in_h, in_w, channels;
  uint16_t out_h, out_w, pitch;
  uint8_t kernel_h, kernel_w, stride_h, stride_w;
  uint16_t pad_top, pad_left;
  int16_t minimum, maximum;
  nb_ring in, out;
} nb_pool_params;
nb_kernel nb_average_pool_s8;
nb_kernel nb_max_pool_s8;

/* Shapes without the batch: rows, columns, channels. */
typedef struct {
  uint16_t in_shape[3], out_shape[3], before[3];
  int16_t value;
  nb_ring in, out;
} nb_pad_params;
nb_kernel nb_pad_s8;

/* Every byte is replaced by an entry of a table: activations, changes of scale, arithmetic with one
 * constant number. The output may be the input's memory, or start before it. */
typedef struct {
  const int8_t *table; /* [256], by the stored byte as unsigned */
  uint32_t row;        /* elements a row */
  nb_ring in, out;
} nb_lookup_params;
typedef struct {
  nb_lookup_params whole;
  nb_pixels pixels;
} nb_lookup_pixels_params;
nb_kernel nb_lookup_s8;
nb_kernel nb_lookup_pixels_s8;

/* Arithmetic on two operands. Index 0 and 1: the operands, 2: the result. */
typedef struct nb_elementwise nb_elementwise;
/* A run of `count` results; `step` is 1, or 0 where one element of that operand serves them all.
 * The output may be the memory of an operand with step 1, or start before it. */
typedef void nb_elements_function(const nb_elementwise *op, uint32_t count, const int8_t *input0,
                                  uint32_t step0, const int8_t *input1, uint32_t step1,
                                  int8_t *output);
struct nb_elementwise {
  nb_elements_function *function;
  int32_t multiplier[3];
  int16_t zero_point[3];
  int8_t shift[3]; /* to the right; only [2] may be negative */
  int16_t minimum, maximum;
};
nb_elements_function nb_add_elements_s8, nb_sub_elements_s8, nb_mul_elements_s8;

/* Operands and output of one shape. The output may be an operand's memory, or start before it. */
typedef struct {
  nb_elementwise op;
  uint32_t row; /* elements a row */
  nb_ring in[2], out;
} nb_elementwise_params;
typedef struct {
  nb_elementwise_params whole;
  nb_pixels pixels;
} nb_elementwise_pixels_params;
nb_kernel nb_elementwise_s8;
nb_kernel nb_elementwise_pixels_s8;

/* One operand is a constant with fewer elements, or as many. The output may be the input's memory,
 * or start before it. */
typedef struct {
  nb_elementwise op;
  const int8_t *constant;
  uint32_t position;          /* of the constant: operand 0 or 1 */
  uint32_t row_step;          /* of the constant, from one row to the next */
  uint32_t shape[5], step[5]; /* of a row: output sizes; elements of the constant, 0: broadcast */
  nb_ring in, out;
} nb_elementwise_constant_params;
nb_kernel nb_elementwise_constant_s8;

/* Operands of different shapes. The output may be the memory of an operand that has as many
 * elements, or start before it. */
typedef struct {
  nb_elementwise op;
  uint32_t shape[6];   /* of the output */
  uint32_t step[2][6]; /* elements of an operand from one index to the next; 0: broadcast */
} nb_elementwise_broadcast_params;
nb_kernel nb_elementwise_broadcast_s8;

/* Elements in another order, or some of them: TRANSPOSE, STRIDED_SLICE. */
typedef struct {
  uint32_t start;    /* the input element that becomes the first of the output */
  uint32_t shape[6]; /* of the output */
  int32_t step[6];   /* input elements from one index to the next */
} nb_gather_params;
nb_kernel nb_gather_s8;

/* `blocks` times a run of each input, into blocks of the output. What lies between the runs is
 * written by other layers. */
typedef struct {
  const uint32_t *runs; /* [inputs][2]: elements of a run, and where in the block they begin */
  uint32_t inputs, blocks;
  uint32_t block; /* elements */
} nb_concatenation_params;
nb_kernel nb_concatenation_s8;

/* Output row y is input row places[y], column x of it is column places[out_h + x]. */
typedef struct {
  const uint16_t *places;
  uint16_t in_w, channels, out_h, out_w, pitch;
} nb_resize_nearest_params;
nb_kernel nb_resize_nearest_s8;

/* For output row y, and with out_h + x for column x: lies between the input's row lower[] and
 * upper[], fraction[] 1024ths behind the first. */
typedef struct {
  const uint16_t *lower, *upper;
  const int16_t *fraction; /* -1023..1023 */
  uint16_t in_w, channels, out_h, out_w, pitch;
} nb_resize_bilinear_params;
nb_kernel nb_resize_bilinear_s8;

/* The output may be the input's memory. */
typedef struct {
  const int32_t *exponentials; /* [256]: exp of minus i input steps, Q0.31 */
  uint32_t rows, depth;
} nb_softmax_params;
nb_kernel nb_softmax_s8;

#ifdef __cplusplus
}
#endif

#endif
