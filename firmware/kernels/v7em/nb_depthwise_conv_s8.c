// SPDX-License-Identifier: Apache-2.0
/* Depthwise convolution, one output an input channel: four channels are copied at once. */
#include "nb_kernels.h"

#ifdef NB_DSP
#include "nb_depthwise_bands.h"
#include "nb_depthwise_copy.h"

static nb_depthwise_copy copy_of(const nb_depthwise_conv_params *p) {
  return (nb_depthwise_copy){.input = 0,
                             .output = 0,
                             .rows = 0,
                             .stride = p->in_c,
                             .width = p->in_w,
                             .plane = 2u * p->rows * p->row_stride,
                             .row_step = 2u * p->row_stride - 2u * p->in_w};
}

static void copy_rows(const nb_depthwise_conv_params *p, const int8_t *input, uint32_t rows,
                      uint32_t count, int16_t *output) {
  /* Fewer than four channels are the last ones of more: read from those before them, too. */
  if (p->in_c >= CHANNELS) {
    nb_depthwise_copy copy = copy_of(p);
    copy.input = input - (CHANNELS - count);
    copy.output = output;
    copy.rows = rows;
    nb_depthwise_copy_rows(&copy);
    return;
  }
  copy_bytes(p, input, rows, count, output);
}

/* As in_bands, where the planes hold all rows: what is copied and computed is found once for all
 * channels. A ring of the input or the output is met at its end once at most. */
__attribute__((noinline)) static void in_one_band(const nb_layer *layer, uint32_t first,
                                                  uint32_t last) {
  const nb_depthwise_conv_params *p = layer->params;
  const int8_t *input = layer->input;
  int8_t *output = layer->output;
  void *scratch = layer->scratch;
  int16_t *planes = scratch;
  struct nb_depthwise_rows call;
  prepare(p, planes, &call);
  const uint32_t extent = (uint32_t)(p->kernel_h - 1) * p->dilation_h + 1;
  struct piece pieces[2];
  uint32_t count = 0;
  int32_t y = (int32_t)(first * p->stride_h) - p->pad_top;
  const int32_t end = y + (int32_t)((last - first - 1) * p->stride_h + extent);
  for (int16_t *row = planes; y < end;) {
    const struct piece found = next_piece(p, input, &y, end, &row);
    if (found.rows != 0) pieces[count++] = found;
  }
  const uint32_t run = nb_ring_run(p->out, first, last);
  const uint32_t rest = last - first - run;
  int8_t *behind = output; /* the end of the output's ring */
  output += nb_ring_place(p->out, first) * p->out_w * p->pitch;
  int16_t *middle = planes + run * p->stride_h * p->row_stride;
  nb_depthwise_copy copy = copy_of(p);
  uint32_t channels = CHANNELS;
  for (uint32_t left = p->in_c; left != 0; left -= channels) {
    if (left < CHANNELS) { /* those before them are copied again */
      const uint32_t again = CHANNELS - left;
      channels = left;
      for (uint32_t i = 0; i < count; i++) pieces[i].input -= again;
      planes += again * p->rows * p->row_stride;
      middle += again * p->rows * p->row_stride;
    }
    for (uint32_t i = 0; i < count; i++) {
      copy.input = pieces[i].input;
      copy.rows = pieces[i].rows;
      copy.output = pieces[i].row;
      pieces[i].input += CHANNELS;
      nb_depthwise_copy_rows(&copy);
    }
    const int32_t *own = call.own;
    const int8_t *taps = call.taps;
    call.channels = channels;
    call.input = planes;
    call.output = output;
    call.rows = run;
    p->function(&call);
    output += CHANNELS;
    if (rest == 0) continue;
    call.own = own;
    call.taps = taps;
    call.channels = channels;
    call.input = middle;
    call.output = behind;
    call.rows = rest;
    p->function(&call);
    behind += CHANNELS;
  }
}

void nb_depthwise_conv_s8(const nb_layer *layer, uint32_t first, uint32_t last) {
  const nb_depthwise_conv_params *p = layer->params;
  if (last - first <= rows_in_band(p) && p->in_c >= CHANNELS) {
    in_one_band(layer, first, last);
    return;
  }
  in_bands(layer, first, last);
}

#endif
