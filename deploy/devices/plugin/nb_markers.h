// SPDX-License-Identifier: Apache-2.0
/* The markers: addresses at which something begins or ends, from the file that nb_count.c describes.
 * Included once, by the plugin, which is a single translation unit. */
#ifndef NB_MARKERS_H
#define NB_MARKERS_H

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NB_MOST_MARKERS 8192

enum nb_marker_kind { NB_NONE, NB_BEGIN, NB_END, NB_LAYER, NB_TABLE, NB_FUNCTION };

struct nb_marker {
  uint64_t address;
  enum nb_marker_kind kind;
  int layer;    /* of NB_LAYER */
  int function; /* of any marker: the one that begins here; -1: none */
};

static struct nb_marker markers[NB_MOST_MARKERS];
static int marker_count;
static struct {
  uint64_t address;
  uint64_t entry; /* bytes; 0: no table */
  uint64_t count;
} table;

/* How many markers lie below an address. */
static int count_below(uint64_t address) {
  int low = 0;
  int high = marker_count;
  while (low < high) {
    int middle = (low + high) / 2;
    if (markers[middle].address < address) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

static const struct nb_marker *find_marker(uint64_t address) {
  int index = count_below(address);
  return index < marker_count && markers[index].address == address ? &markers[index] : NULL;
}

/* The marked function that begins at an address or, of all, last before it; -1: none. */
static int find_function(uint64_t address) {
  for (int index = count_below(address + 1); index > 0; index--) {
    if (markers[index - 1].function >= 0) {
      return markers[index - 1].function;
    }
  }
  return -1;
}

static int by_address(const void *a, const void *b) {
  uint64_t x = ((const struct nb_marker *)a)->address;
  uint64_t y = ((const struct nb_marker *)b)->address;
  return (x > y) - (x < y);
}

/* One marker an address: a layer or the interval's begin is a function as well. */
static void join_markers(void) {
  int kept = 0;
  for (int i = 0; i < marker_count; i++) {
    struct nb_marker *last = kept > 0 ? &markers[kept - 1] : NULL;
    if (last == NULL || last->address != markers[i].address) {
      markers[kept++] = markers[i];
      continue;
    }
    if (markers[i].kind == NB_FUNCTION) {
      last->function = markers[i].function;
    } else {
      last->kind = markers[i].kind;
      last->layer = markers[i].layer;
    }
  }
  marker_count = kept;
}

static bool read_markers(const char *path) {
  FILE *file = fopen(path, "r");
  char word[16];
  uint64_t address;
  if (file == NULL) {
    return false;
  }
  while (marker_count < NB_MOST_MARKERS && fscanf(file, "%" SCNx64 " %15s", &address, word) == 2) {
    struct nb_marker *marker = &markers[marker_count++];
    *marker = (struct nb_marker){address, NB_NONE, -1, -1};
    if (strcmp(word, "begin") == 0) {
      marker->kind = NB_BEGIN;
    } else if (strcmp(word, "end") == 0) {
      marker->kind = NB_END;
    } else if (strcmp(word, "layer") == 0 && fscanf(file, "%d", &marker->layer) == 1 &&
               marker->layer >= 0 && marker->layer < NB_MOST_MARKERS) {
      marker->kind = NB_LAYER;
    } else if (strcmp(word, "table") == 0 && table.entry == 0 &&
               fscanf(file, "%" SCNx64 " %" SCNu64 " %" SCNu64, &table.address, &table.entry,
                      &table.count) == 3 &&
               table.entry > 0 && table.count <= NB_MOST_MARKERS) {
      marker->kind = NB_TABLE;
    } else if (strcmp(word, "function") == 0 && fscanf(file, "%d", &marker->function) == 1 &&
               marker->function >= 0 && marker->function < NB_MOST_MARKERS) {
      marker->kind = NB_FUNCTION;
    } else {
      fclose(file);
      return false;
    }
  }
  bool complete = feof(file) != 0;
  fclose(file);
  qsort(markers, (size_t)marker_count, sizeof markers[0], by_address);
  join_markers();
  return complete && marker_count > 0;
}

#endif
