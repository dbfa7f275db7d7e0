/* Patches of the input of a convolution. Shared by the convolutions. */
#ifndef NB_CONV_GATHER_H
#define NB_CONV_GATHER_H

#include "nb_arithmetic.h"

/* The patch under output pixel `index`, [kernel_h][kernel_w][in_c]; the input's zero point
 * outside of the image. */
void nb_conv_gather(const nb_conv_params *p, const int8_t *input, uint32_t index, int8_t *patch);

#endif
