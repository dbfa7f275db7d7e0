#include <stdint.h>

#ifndef NB_FAKE_PAD_BYTES
#define NB_FAKE_PAD_BYTES 16
#endif

extern const int8_t nb_fake_weights[NB_FAKE_PAD_BYTES];
const int8_t nb_fake_weights[NB_FAKE_PAD_BYTES] = {1, 2, 3, 4};
