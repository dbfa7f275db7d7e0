/* Depthwise convolution, one output an input channel, in place.
 *
 * Four channels at a time, padded input rows are copied into planes of int16, one plane a channel,
 * just before the output rows that need them. So the output can be written over the input: an
 * output row lies over rows that have been copied already (of a whole map), or that no later row
 * needs (of a ring). A plane keeps p->rows rows; when they are used up, those that are needed
 * again move to its top.
 */
#include "nb_clamp_s8.h"
#include "nb_depthwise_rows_s8.h"

#define CHANNELS 4

/* Copies input row `y` (or padding) of `count` channels into `row` of their planes. */
static void copy_row(const nb_depthwise_conv_params *p, const int8_t *input, int32_t y,
                     uint32_t count, int16_t *row) {
  const uint32_t plane = (uint32_t)p->rows * p->row_stride;
  if (y < 0 || y >= p->in_h) {
    for (uint32_t c = 0; c < count; c++) {
      for (uint32_t x = 0; x < p->row_stride; x++) row[c * plane + x] = p->input_zero_point;
    }
    return;
  }
  const uint32_t stride = p->in_c;
  uint32_t x = 0;
  input += nb_ring_place(p->in, (uint32_t)y) * p->in_w * stride;
  row += p->pad_left;
#ifdef NB_DSP
  if (count == CHANNELS) {
    int16_t *row3 = row + 3 * plane;
    for (; x + 2 <= p->in_w; x += 2, input += 2 * stride, row += 2, row3 += 2) {
      const uint32_t first = nb_load_word(input);
      const uint32_t second = nb_load_word(input + stride);
      const uint32_t first02 = nb_sxtb16(first), first13 = nb_sxtb16_high(first);
      const uint32_t second02 = nb_sxtb16(second), second13 = nb_sxtb16_high(second);
      nb_store_word(row, nb_pack_low(first02, second02));
      nb_store_word(row + plane, nb_pack_low(first13, second13));
      nb_store_word(row + 2 * plane, nb_pack_high(first02, second02));
      nb_store_word(row3, nb_pack_high(first13, second13));
    }
    row -= x;
  }
#endif
  for (; x < p->in_w; x++, input += stride) {
    for (uint32_t c = 0; c < count; c++) row[c * plane + x] = input[c];
  }
}

/* `count` output rows of one channel from `rows`, its plane. */
static void output_rows(const nb_depthwise_conv_params *p, const int16_t *rows, uint32_t channel,
                        uint32_t count, int8_t *output) {
  const int8_t *weights = p->weights + channel * p->kernel_h * p->kernel_w;
  for (; count != 0; count--, rows += (uint32_t)p->stride_h * p->row_stride) {
    for (uint32_t x = 0; x < p->out_w; x++, output += p->out_c) {
      int32_t sum = 0;
      for (uint32_t ky = 0; ky < p->kernel_h; ky++) {
        const int16_t *row = rows + ky * p->dilation_h * p->row_stride + x * p->stride_w;
        const int8_t *tap = weights + ky * p->kernel_w;
        for (uint32_t kx = 0; kx < p->kernel_w; kx++) sum += row[kx * p->dilation_w] * tap[kx];
      }
      sum = nb_add_wrap(sum, p->requantization.bias_multiplier[2 * channel]);
      *output = nb_requantize(&p->requantization, channel, sum);
    }
  }
}

/* Moves `count` values from `from` to the start; both are multiples of 4. */
static void move_up(int16_t *plane, uint32_t from, uint32_t count) {
  for (uint32_t i = 0; i < count; i += 4) {
    nb_store_word(plane + i, nb_load_word(plane + from + i));
    nb_store_word(plane + i + 2, nb_load_word(plane + from + i + 2));
  }
}

#ifdef NB_DSP
static nb_depthwise_rows_function fast_function(const nb_depthwise_conv_params *p) {
  if (!p->requantization.fast || p->kernel_h != p->kernel_w) return 0;
  if (p->dilation_h != 1 || p->dilation_w != 1) return 0;
  return nb_depthwise_rows_for(p->kernel_h, p->stride_w);
}

static void prepare(const nb_depthwise_conv_params *p, uint32_t channel, nb_depthwise_rows *args) {
  const nb_requantization *r = &p->requantization;
  const uint32_t row = 2u * p->row_stride;
  const uint32_t columns = 2u * 4u * p->stride_w;
  args->bias = r->bias_multiplier[2 * channel];
  args->twice_multiplier = r->bias_multiplier[2 * channel + 1];
  args->shift = r->shift[channel];
  args->round = (int32_t)((uint32_t)(2 * r->zero_point + 1) << args->shift);
  args->count = p->out_w;
  args->output_stride = p->out_c;
  args->back = p->kernel_h * row - columns;
  args->row_stride = row;
  args->next = (int32_t)(p->stride_h * row) - (int32_t)((p->out_w + 3u) / 4u * columns);
  nb_depthwise_pairs(p->weights + channel * p->kernel_h * p->kernel_w, p->kernel_h, args->pairs);
}
#endif

void nb_depthwise_conv_s8(const nb_depthwise_conv_params *p, uint32_t first, uint32_t last,
                          const int8_t *input, int8_t *output, void *scratch) {
  int16_t *planes = scratch;
  const uint32_t plane = (uint32_t)p->rows * p->row_stride;
  const uint32_t extent = (uint32_t)(p->kernel_h - 1) * p->dilation_h + 1;
  const uint32_t used = (last - 1) * p->stride_h + extent;
  const uint32_t row = (uint32_t)p->out_w * p->out_c;
#ifdef NB_DSP
  const nb_depthwise_rows_function fast = fast_function(p);
  nb_depthwise_rows *args = (nb_depthwise_rows *)(void *)(planes + CHANNELS * plane);
#endif
  /* Columns left and right of the image keep this value for ever. */
  const uint32_t padding = (uint16_t)p->input_zero_point * 0x10001u;
  for (uint32_t i = 0; i < CHANNELS * plane; i += 2) nb_store_word(planes + i, padding);
  for (uint32_t channel = 0; channel < p->out_c; channel += CHANNELS) {
    const uint32_t left = p->out_c - channel;
    const uint32_t count = left < CHANNELS ? left : CHANNELS;
    uint32_t next = first * p->stride_h; /* the padded row to copy next */
#ifdef NB_DSP
    for (uint32_t c = 0; c < count && fast; c++) prepare(p, channel + c, &args[c]);
#endif
    for (uint32_t y = first, band; y < last; y += band) {
      const uint32_t top = y * p->stride_h; /* the padded row at the top of the planes */
      if (next < top) next = top; /* a stride above the kernel's extent skips rows */
      for (; next < top + p->rows && next < used; next++) {
        copy_row(p, input + channel, (int32_t)next - p->pad_top, count,
                 planes + (next - top) * p->row_stride);
      }
      band = nb_ring_run(p->out, y, y + (next - top - extent) / p->stride_h + 1);
      for (uint32_t c = 0; c < count; c++) {
        int8_t *target = output + nb_ring_place(p->out, y) * row + channel + c;
#ifdef NB_DSP
        if (fast) {
          args[c].output = target;
          args[c].rows = band;
          args[c].input = planes + c * plane;
          fast(&args[c]);
          continue;
        }
#endif
        output_rows(p, planes + c * plane, channel + c, band, target);
      }
      const uint32_t passed = band * p->stride_h;
      const uint32_t keep = next - top > passed ? next - top - passed : 0;
      for (uint32_t c = 0; c < count && keep != 0 && y + band < last; c++) {
        move_up(planes + c * plane, passed * p->row_stride, keep * p->row_stride);
      }
    }
  }
#ifdef NB_DSP
  for (uint32_t y = first, run; y < last && fast; y += run) {
    run = nb_ring_run(p->out, y, last);
    nb_clamp_s8(p->requantization.minimum, p->requantization.maximum,
                output + nb_ring_place(p->out, y) * row, run * row);
  }
#endif
}
