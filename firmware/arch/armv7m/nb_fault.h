// SPDX-License-Identifier: Apache-2.0
/* What the handler of faults and its report share: C and assembly read it. */
#ifndef NB_FAULT_H
#define NB_FAULT_H

/* Bytes of the stack that the report takes. */
#define NB_REPORT_BYTES 512

#endif
