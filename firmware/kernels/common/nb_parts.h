// SPDX-License-Identifier: Apache-2.0
/* Parts of kernels for which a backend may have instructions of its own; nb_backend.h says whose are
 * taken. What a part leaves undone, the kernel does in portable C.
 *
 * NB_PLANE_SHIFT: planes of the depthwise convolution are two to this power as large as what they
 *   are made of.
 * nb_copy_bytes: copies `count` bytes; returns where they end.
 * nb_sum_part: adds the values of some of `channels` channels, at most four, of `count` pixels, at
 *   least one, `stride` bytes apart, to their sums; returns how many channels these are: 4, or 0.
 * nb_max_pool_pixel: makes all channels of an output pixel at `target`.
 * nb_add_part: adds elements from the first one on; returns how many.
 * nb_weighted_sum_part: the same; moves all it is given behind what is done.
 */
#ifndef NB_PARTS_H
#define NB_PARTS_H

#include "nb_arithmetic.h"
#include "nb_pool_window.h"

#include NB_PARTS

#endif
