// SPDX-License-Identifier: Apache-2.0
/* Which backend's kernels a core runs: the one place that knows cores. C and assembly read it. */
#ifndef NB_BACKEND_H
#define NB_BACKEND_H

/* Inner loops: the compiler names the one that a layer's shape needs, so that no other is linked.
 * Cores with DSP instructions (ARMv7E-M: Cortex-M4, M7, M33, M55) run `fast`, others `portable`. */
#if defined(__ARM_FEATURE_DSP) && __ARM_FEATURE_DSP && defined(__thumb2__)
#define NB_DSP 1
#define NB_PARTS "nb_parts_v7em.h" /* see nb_parts.h */
#define NB_INNER_LOOP(fast, portable) fast
#else
#define NB_PARTS "nb_parts_portable.h"
#define NB_INNER_LOOP(fast, portable) portable
#endif

/* What one rounding shifts to the right by: see nb_requantization. */
#define NB_SINGLE_SHIFT 10

#endif
