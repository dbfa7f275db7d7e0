/* Depthwise convolution, one output an input channel, in place.
 *
 * Four channels at a time, padded input rows are copied into planes of int16, one plane a channel,
 * just before the output rows that need them. So the output can be written over the input: an
 * output row lies over rows that have been copied already (of a whole map), or that no later row
 * needs (of a ring). A plane keeps p->rows rows; when they are used up, those that are needed
 * again move to its top.
 */
#include "nb_depthwise_rows_s8.h"

#define CHANNELS 4u

static inline int16_t scaled(int32_t value) { return (int16_t)(value * (1 << NB_PLANE_SHIFT)); }

/* Sets `count` columns from `column` on in `rows` rows of every plane to the input's zero point. */
static void pad(const nb_depthwise_conv_params *p, uint32_t rows, uint32_t column, uint32_t count,
                int16_t *planes) {
  for (uint32_t c = 0; c < CHANNELS; c++, planes += (uint32_t)p->rows * p->row_stride) {
    int16_t *row = planes + column;
    for (uint32_t y = 0; y < rows; y++, row += p->row_stride) {
      for (uint32_t x = 0; x < count; x++) row[x] = scaled(p->input_zero_point);
    }
  }
}

/* Copies `rows` rows that follow one another, of `count` channels. */
static void copy_rows(const nb_depthwise_conv_params *p, const int8_t *input, uint32_t rows,
                      uint32_t count, int16_t *output) {
  const uint32_t plane = (uint32_t)p->rows * p->row_stride;
#ifdef NB_DSP
  /* Fewer than four channels are the last ones of more: read from those before them, too. */
  if (p->in_c >= CHANNELS) {
    const nb_depthwise_copy copy = {input - (CHANNELS - count), p->in_c, p->in_w, output,
                                    2 * plane, rows, 2u * p->row_stride - 2u * p->in_w};
    nb_depthwise_copy_rows(&copy);
    return;
  }
#endif
  output += (CHANNELS - count) * plane;
  for (uint32_t y = 0; y < rows; y++, output += p->row_stride) {
    for (uint32_t x = 0; x < p->in_w; x++, input += p->in_c) {
      for (uint32_t c = 0; c < count; c++) output[c * plane + x] = scaled(input[c]);
    }
  }
}

/* Copies the input rows y..end - 1, or padding unless it is there already, of `count` channels into
 * the planes, from `row` of the first plane on. Apart, so that the inner loop's stack is not on top
 * of its own. */
__attribute__((noinline)) static void fill(const nb_depthwise_conv_params *p, const int8_t *input,
                                           int32_t y, int32_t end, uint32_t count, int padded,
                                           int16_t *row) {
  const int32_t bottom = end < p->in_h ? end : p->in_h;
  while (y < end) {
    uint32_t rows;
    if (y < 0 || y >= bottom) {
      rows = (uint32_t)((y < 0 && end > 0 ? 0 : end) - y);
      if (!padded) pad(p, rows, 0, p->row_stride, row);
    } else {
      rows = nb_ring_run(p->in, (uint32_t)y, (uint32_t)bottom);
      copy_rows(p, input + nb_ring_place(p->in, (uint32_t)y) * p->in_w * p->in_c, rows, count,
                row + p->pad_left);
    }
    y += (int32_t)rows;
    row += rows * p->row_stride;
  }
}

/* Moves `count` values from `from` to the start; both are even. */
static void move_up(int16_t *plane, uint32_t from, uint32_t count) {
  for (uint32_t i = 0; i < count; i += 2) nb_store_word(plane + i, nb_load_word(plane + from + i));
}

void nb_depthwise_conv_s8(const nb_layer *layer, uint32_t first, uint32_t last) {
  const nb_depthwise_conv_params *p = layer->params;
  const int8_t *input = layer->input;
  int8_t *output = layer->output;
  void *scratch = layer->scratch;
  int16_t *planes = scratch;
  const uint32_t plane = (uint32_t)p->rows * p->row_stride;
  const uint32_t extent = (uint32_t)(p->kernel_h - 1) * p->dilation_h + 1;
  const uint32_t most = (p->rows - extent) / p->stride_h + 1; /* output rows in a band */
  const uint32_t row = (uint32_t)p->out_w * p->pitch;
  const nb_requantization *r = &p->requantization;
  const uint32_t columns = 2u * 4u * p->stride_w;
  const uint32_t row_bytes = 2u * p->row_stride;
  struct nb_depthwise_rows call = {
      .plane = 2 * plane,
      .round = r->fast & NB_FAST_SINGLE ? NB_SINGLE_OFFSET + r->zero_point : 2 * r->zero_point + 1,
      .count = p->out_w,
      .output_stride = p->pitch,
      .back = p->kernel_h * row_bytes - columns,
      .row_stride = row_bytes,
      .next = (int32_t)(p->stride_h * row_bytes) - (int32_t)((p->out_w + 3u) / 4u * columns),
      .params = p,
  };
  /* Columns left and right of the image keep this value. */
  const uint32_t right = (uint32_t)p->pad_left + p->in_w;
  const uint32_t needed =
      (uint32_t)(p->out_w - 1) * p->stride_w + (uint32_t)(p->kernel_w - 1) * p->dilation_w + 1;
  pad(p, p->rows, 0, p->pad_left, planes);
  if (needed > right) pad(p, p->rows, right, needed - right, planes);
  for (uint32_t channel = 0; channel < p->in_c; channel += CHANNELS) {
    const uint32_t left = p->in_c - channel;
    const uint32_t count = left < CHANNELS ? left : CHANNELS;
    uint32_t next = first * p->stride_h; /* the padded row to copy next */
    for (uint32_t y = first, band; y < last; y += band) {
      const uint32_t top = y * p->stride_h; /* the padded row at the top of the planes */
      if (next < top) next = top; /* a stride above the kernel's extent skips rows */
      band = last - y < most ? last - y : most;
      const uint32_t end = top + (band - 1) * p->stride_h + extent;
      /* Where the planes hold all rows, the padding of the channels before is still there. */
      fill(p, input + channel, (int32_t)next - p->pad_top, (int32_t)end - p->pad_top, count,
           channel != 0 && band == last - first, planes + (next - top) * p->row_stride);
      next = end;
      for (uint32_t done = 0, run; done < band; done += run) {
        run = nb_ring_run(p->out, y + done, y + band);
        call.own = r->channels + channel * nb_channel_words(r);
        call.taps = p->weights + channel * p->kernel_h * p->kernel_w;
        call.channels = count;
        call.input = planes + (CHANNELS - count) * plane + done * p->stride_h * p->row_stride;
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
