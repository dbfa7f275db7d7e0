// SPDX-License-Identifier: Apache-2.0
/* The few functions of the C library that firmware uses, small instead of fast: the library's own
 * take some 900 bytes of flash. The compiler calls the first four by itself, too. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Loops that are themselves what they would be replaced by. */
#ifdef __clang__
#define NB_NO_SELF_CALL __attribute__((no_builtin))
#else
#define NB_NO_SELF_CALL __attribute__((optimize("no-tree-loop-distribute-patterns")))
#endif

static int nb_all_aligned(const void *to, const void *from, size_t count) {
  return (((uintptr_t)to | (uintptr_t)from | count) & 3U) == 0U;
}

NB_NO_SELF_CALL void *memcpy(void *restrict to, const void *restrict from, size_t count) {
  if (nb_all_aligned(to, from, count)) {
    uint32_t *words = (uint32_t *)to;
    const uint32_t *source = (const uint32_t *)from;
    for (size_t i = 0; i < count / 4U; i++) {
      words[i] = source[i];
    }
    return to;
  }
  for (size_t i = 0; i < count; i++) {
    ((uint8_t *)to)[i] = ((const uint8_t *)from)[i];
  }
  return to;
}

NB_NO_SELF_CALL void *memmove(void *to, const void *from, size_t count) {
  if ((uintptr_t)to <= (uintptr_t)from) {
    for (size_t i = 0; i < count; i++) {
      ((uint8_t *)to)[i] = ((const uint8_t *)from)[i];
    }
  } else {
    while (count-- > 0U) {
      ((uint8_t *)to)[count] = ((const uint8_t *)from)[count];
    }
  }
  return to;
}

NB_NO_SELF_CALL void *memset(void *to, int value, size_t count) {
  for (size_t i = 0; i < count; i++) {
    ((uint8_t *)to)[i] = (uint8_t)value;
  }
  return to;
}

NB_NO_SELF_CALL int memcmp(const void *first, const void *second, size_t count) {
  const uint8_t *a = (const uint8_t *)first;
  const uint8_t *b = (const uint8_t *)second;
  for (size_t i = 0; i < count; i++) {
    if (a[i] != b[i]) {
      return (int)a[i] - (int)b[i];
    }
  }
  return 0;
}

NB_NO_SELF_CALL size_t strlen(const char *text) {
  size_t count = 0;
  while (text[count] != '\0') {
    count++;
  }
  return count;
}

int strncmp(const char *first, const char *second, size_t count) {
  for (size_t i = 0; i < count; i++) {
    int difference = (int)(uint8_t)first[i] - (int)(uint8_t)second[i];
    if (difference != 0 || first[i] == '\0') {
      return difference;
    }
  }
  return 0;
}
