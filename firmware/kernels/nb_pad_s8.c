/* Padding with a constant along any of four axes. */
#include "nb_arithmetic.h"

void nb_pad_s8(const nb_pad_params *p, const int8_t *input, int8_t *output) {
  uint32_t at[3];
  for (at[0] = 0; at[0] < p->out_shape[0]; at[0]++) {
    for (at[1] = 0; at[1] < p->out_shape[1]; at[1]++) {
      for (at[2] = 0; at[2] < p->out_shape[2]; at[2]++) {
        int inside = 1;
        for (int axis = 0; axis < 3; axis++) {
          inside &= at[axis] - p->before[axis] < p->in_shape[axis]; /* wraps below `before` */
        }
        memset(output, p->value, p->out_shape[3]);
        if (inside) {
          memcpy(output + p->before[3], input, p->in_shape[3]);
          input += p->in_shape[3];
        }
        output += p->out_shape[3];
      }
    }
  }
}
