// SPDX-License-Identifier: Apache-2.0
/* Where the fields lie that assembly reads: the one place for both languages. C checks each number
 * beside the struct. */
#ifndef NB_LAYOUT_H
#define NB_LAYOUT_H

#ifndef __ASSEMBLER__
#include <stddef.h>
#define NB_FIELD(type, field, offset) \
  _Static_assert(offsetof(type, field) == (offset), "assembly reads " #field " elsewhere")
#endif

/* struct nb_gemm. What lies before the weights goes into registers at once. */
#define NB_GEMM_CHANNELS 0
#define NB_GEMM_OUTPUT 4
#define NB_GEMM_OUTPUT_STRIDE 8
#define NB_GEMM_ZERO_POINT 12
#define NB_GEMM_OUTPUT_STRIDE_3 16
#define NB_GEMM_WIDE 20
#define NB_GEMM_WORDS 24
#define NB_GEMM_WEIGHTS 28

/* struct nb_depthwise_rows. What lies before NB_DEPTHWISE_COUNT goes into registers at once, for
 * each channel, and what lies from NB_DEPTHWISE_ROUND on once a call. */
#define NB_DEPTHWISE_OWN 0
#define NB_DEPTHWISE_TAPS 4
#define NB_DEPTHWISE_CHANNELS 8
#define NB_DEPTHWISE_INPUT 12
#define NB_DEPTHWISE_OUTPUT 16
#define NB_DEPTHWISE_PLANE 20
#define NB_DEPTHWISE_ROWS 24
#define NB_DEPTHWISE_ROUND 28
#define NB_DEPTHWISE_COUNT 32
#define NB_DEPTHWISE_OUTPUT_STRIDE 36
#define NB_DEPTHWISE_BACK 40
#define NB_DEPTHWISE_ROW_STRIDE 44
#define NB_DEPTHWISE_NEXT 48

/* nb_depthwise_copy: all of it goes into registers at once. */
#define NB_COPY_INPUT 0
#define NB_COPY_STRIDE 4
#define NB_COPY_WIDTH 8
#define NB_COPY_OUTPUT 12
#define NB_COPY_PLANE 16
#define NB_COPY_ROWS 20
#define NB_COPY_ROW_STEP 24

#endif
