// SPDX-License-Identifier: Apache-2.0
/* Depthwise convolution, one output an input channel, in place: what all backends share, for
 * the one file of each that includes it and defines `copy_rows`.
 *
 * Four channels at a time, padded input rows are copied into planes of int16, one plane a channel,
 * just before the output rows that need them. So the output can be written over the input: an
 * output row lies over rows that have been copied already (of a whole map), or that no later row
 * needs (of a ring). A plane keeps p->rows rows; when they are used up, those that are needed
 * again move to its top.
 */
#ifndef NB_DEPTHWISE_BANDS_H
#define NB_DEPTHWISE_BANDS_H

#include "nb_depthwise_rows_s8.h"

#define CHANNELS 4u

static inline int16_t scaled(int32_t value) {
  return (int16_t)(value * (1 << NB_PLANE_SHIFT));
}

/* Sets `count` values to the input's zero point. */
static void pad(const nb_depthwise_conv_params *p, int16_t *to, uint32_t count) {
  const uint32_t value = (uint16_t)scaled(p->input_zero_point) * 0x10001u;
  for (; count >= 2; count -= 2, to += 2) nb_store_word(to, value);
  if (count != 0) *to = (int16_t)value;
}

/* Sets the columns left and right of the image in all rows of all planes. They lie one behind
 * another, and so do those right of it in a row and left of it in the next; whole words reach into
 * the image, which is copied later. */
static void pad_columns(const nb_depthwise_conv_params *p, int16_t *planes) {
  const uint32_t value = (uint16_t)scaled(p->input_zero_point) * 0x10001u;
  const uint32_t gap = (uint32_t)p->row_stride - p->in_w;
  pad(p, planes, p->pad_left);
  int16_t *right = planes + p->pad_left + p->in_w;
  for (uint32_t rows = CHANNELS * p->rows - 1; rows != 0; rows--) {
    int16_t *to = right;
    for (const int16_t *end = right + gap; to < end; to += 2) nb_store_word(to, value);
    right += p->row_stride;
  }
  pad(p, right, gap - p->pad_left);
}

/* Copies `rows` rows that follow one another, of `count` channels, which are the last ones where
 * they are fewer than four, into the last planes. */
static void copy_rows(const nb_depthwise_conv_params *p, const int8_t *input, uint32_t rows,
                      uint32_t count, int16_t *output);

/* The same, byte by byte, for any number of channels. */
static inline void copy_bytes(const nb_depthwise_conv_params *p, const int8_t *input, uint32_t rows,
                              uint32_t count, int16_t *output) {
  const uint32_t plane = (uint32_t)p->rows * p->row_stride;
  output += (CHANNELS - count) * plane;
  for (uint32_t y = 0; y < rows; y++, output += p->row_stride) {
    for (uint32_t x = 0; x < p->in_w; x++, input += p->in_c) {
      for (uint32_t c = 0; c < count; c++) output[c * plane + x] = scaled(input[c]);
    }
  }
}

/* Rows of the input that follow one another, and where they go in the first plane. */
struct piece {
  const int8_t *input;
  uint32_t rows;
  int16_t *row;
};

/* Finds the next piece of the padded input rows y..end - 1, which go to `row`; moves both on. Rows
 * of padding that come before it are filled in. Without `rows` there is none. */
static struct piece next_piece(const nb_depthwise_conv_params *p, const int8_t *input, int32_t *y,
                               int32_t end, int16_t **row) {
  const int32_t bottom = end < p->in_h ? end : p->in_h;
  struct piece found = {input, 0, *row};
  while (*y < end && found.rows == 0) {
    uint32_t rows;
    if (*y < 0 || *y >= bottom) {
      rows = (uint32_t)((*y < 0 && end > 0 ? 0 : end) - *y);
      const uint32_t plane = (uint32_t)p->rows * p->row_stride;
      for (uint32_t c = 0; c < CHANNELS; c++) {
        pad(p, *row + c * plane, rows * p->row_stride);
      }
    } else {
      rows = nb_ring_run(p->in, (uint32_t)*y, (uint32_t)bottom);
      found.input += nb_ring_place(p->in, (uint32_t)*y) * p->in_w * p->in_c;
      found.rows = rows;
      found.row = *row + p->pad_left;
    }
    *y += (int32_t)rows;
    *row += rows * p->row_stride;
  }
  return found;
}

/* Copies the input rows y..end - 1, or padding, of `count` channels into the planes, from `row` of
 * the first plane on. Apart, so that the inner loop's stack is not on top of its own. */
__attribute__((noinline)) static void fill(const nb_depthwise_conv_params *p, const int8_t *input,
                                           int32_t y, int32_t end, uint32_t count, int16_t *row) {
  while (y < end) {
    const struct piece found = next_piece(p, input, &y, end, &row);
    if (found.rows != 0) copy_rows(p, found.input, found.rows, count, found.row);
  }
}

/* Moves `count` values from `from` to the start; both are even. */
static void move_up(int16_t *plane, uint32_t from, uint32_t count) {
  for (uint32_t i = 0; i < count; i += 2) nb_store_word(plane + i, nb_load_word(plane + from + i));
}

/* What is of a layer in `call`, and the columns beside the image. Apart, like the two below, so that
 * little lies on the stack under the inner loop. */
__attribute__((noinline)) static void prepare(const nb_depthwise_conv_params *p, int16_t *planes,
                                              struct nb_depthwise_rows *call) {
  const nb_requantization *r = &p->requantization;
  const uint32_t columns = 2u * 4u * p->stride_w;
  const uint32_t row_bytes = 2u * p->row_stride;
  call->own = r->channels;
  call->taps = p->weights;
  call->plane = p->rows * row_bytes;
  call->round = r->fast & NB_FAST_SINGLE ? NB_SINGLE_OFFSET + r->zero_point : 2 * r->zero_point + 1;
  call->count = p->out_w;
  call->output_stride = p->pitch;
  call->back = p->kernel_h * row_bytes - columns;
  call->row_stride = row_bytes;
  call->next = (int32_t)(p->stride_h * row_bytes) - (int32_t)((p->out_w + 3u) / 4u * columns);
  call->params = p;
  const uint32_t needed =
      (uint32_t)(p->out_w - 1) * p->stride_w + (uint32_t)(p->kernel_w - 1) * p->dilation_w + 1;
  if (p->pad_left != 0 || needed > p->in_w) pad_columns(p, planes);
}

/* Output rows for which the planes hold all input rows. */
static uint32_t rows_in_band(const nb_depthwise_conv_params *p) {
  return (p->rows - (p->kernel_h - 1u) * p->dilation_h - 1u) / p->stride_h + 1u;
}

/* Bands of output rows, four channels after four: each channel's planes slide over the input. */
__attribute__((noinline)) static void in_bands(const nb_layer *layer, uint32_t first,
                                               uint32_t last) {
  const nb_depthwise_conv_params *p = layer->params;
  const int8_t *input = layer->input;
  int8_t *output = layer->output;
  void *scratch = layer->scratch;
  int16_t *planes = scratch;
  struct nb_depthwise_rows call;
  prepare(p, planes, &call);
  const uint32_t most = rows_in_band(p);
  const uint32_t plane = (uint32_t)p->rows * p->row_stride;
  const uint32_t extent = (uint32_t)(p->kernel_h - 1) * p->dilation_h + 1;
  const uint32_t row = (uint32_t)p->out_w * p->pitch;
  for (uint32_t channel = 0; channel < p->in_c; channel += CHANNELS) {
    const uint32_t left = p->in_c - channel;
    const uint32_t count = left < CHANNELS ? left : CHANNELS;
    const int32_t *own = call.own;
    const int8_t *taps = call.taps;
    int16_t *first_plane = planes + (CHANNELS - count) * plane;
    uint32_t next = first * p->stride_h; /* the padded row to copy next */
    for (uint32_t y = first, band; y < last; y += band) {
      const uint32_t top = y * p->stride_h; /* the padded row at the top of the planes */
      if (next < top) next = top;           /* a stride above the kernel's extent skips rows */
      band = last - y < most ? last - y : most;
      const uint32_t end = top + (band - 1) * p->stride_h + extent;
      fill(p, input + channel, (int32_t)next - p->pad_top, (int32_t)end - p->pad_top, count,
           planes + (next - top) * p->row_stride);
      next = end;
      for (uint32_t done = 0, run; done < band; done += run) {
        run = nb_ring_run(p->out, y + done, y + band);
        call.own = own;
        call.taps = taps;
        call.channels = count;
        call.input = first_plane + done * p->stride_h * p->row_stride;
        call.output = output + nb_ring_place(p->out, y + done) * row + channel;
        call.rows = run;
        p->function(&call);
      }
      const uint32_t passed = band * p->stride_h;
      const uint32_t keep = next - top > passed ? next - top - passed : 0;
      for (uint32_t c = 0; c < CHANNELS && keep != 0 && y + band < last; c++) {
        move_up(planes + c * plane, passed * p->row_stride, keep * p->row_stride);
      }
    }
  }
}

#endif
