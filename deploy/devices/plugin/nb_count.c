// SPDX-License-Identifier: Apache-2.0
/* QEMU TCG plugin: exact instruction counts of marked intervals, by layer, and estimated cycles.
 *
 *   -plugin file=nb_count.so,markers=FILE,out=FILE,wait_states=N[,limit=N]
 *
 * `markers` has one line a marker, "<hex address> begin", "... end", "... function <index>",
 * "... layer <index>" or "... table <hex address> <bytes> <layers>", taken from the firmware's
 * symbols. Each time `end` is reached, one JSON line goes to `out`: what ran from `begin` on, `end`
 * not included.
 *
 * How it counts: QEMU hands over each block of guest code once, when it translates it. The block
 * is cut into runs: a run begins at the block's start and at each marker. The first instruction of
 * a run gets a callback, which adds the run's length. A block runs to its end once it is entered
 * (no interrupt is enabled and no fault is expected), so the sum is exact, wherever the code lies.
 * One kind of callback is used, with one signature in every version of the interface, because the
 * inline counters changed between QEMU 8 and 9. An instruction that a condition skips is counted.
 *
 * How layers are told apart: a layer is entered at its marker and left when control comes back to
 * the instruction behind the call. What it calls counts as its own, except another layer. What is
 * in no layer is reported as `outside`. The sum of all is the total. The marker is the layer's own
 * function; or, of all layers, the function that runs them: at "table" which it is follows from
 * the address that the marked instruction reads, an entry of a table with so many bytes each.
 *
 * Functions, where they are marked, count what lies between their address and the next marked one:
 * their own instructions, not those of what they call. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nb_cycles.h"
#include "nb_markers.h"
#include "nb_qemu_plugin.h"

#define NB_MOST_DEPTH 64

struct nb_run {
  uint64_t start;
  uint64_t end; /* address behind its last instruction */
  uint32_t instructions;
  uint32_t cycles;
  uint32_t loaded, stored; /* bytes */
  int function;            /* that it lies in; -1: none is marked */
  bool ends_in_call;
  const struct nb_marker *marker; /* at `start`, or NULL */
};

struct nb_count {
  uint64_t calls, instructions, cycles, taken, loaded, stored;
};

NB_EXPORT int qemu_plugin_version = NB_QEMU_API;

static struct nb_count counts[NB_MOST_MARKERS + 1]; /* by layer; [0] is outside */
static struct nb_count functions[NB_MOST_MARKERS];
static FILE *out;
static uint32_t wait_states;
static uint64_t executed; /* since `begin` */
static uint64_t limit;    /* of it; 0: none */

static bool recording;
static const struct nb_run *previous;
static const struct nb_run *unknown; /* has entered a layer and not yet read which */
static struct {
  int slot;
  uint64_t back; /* where control returns to when the layer is left */
} stack[NB_MOST_DEPTH];
static int depth;

static struct nb_count *current(void) {
  return &counts[depth > 0 ? stack[depth - 1].slot : 0];
}

static void write_count(const struct nb_count *count) {
  fprintf(out,
          "\"calls\":%" PRIu64 ",\"instructions\":%" PRIu64 ",\"cycles_estimated\":%" PRIu64
          ",\"bytes_loaded\":%" PRIu64 ",\"bytes_stored\":%" PRIu64 "}",
          count->calls, count->instructions, count->cycles, count->loaded, count->stored);
}

static void write_list(const char *name, const struct nb_count *list, int count) {
  const char *separator = "";
  fprintf(out, ",\"%s\":[", name);
  for (int i = 0; i < count; i++) {
    if (list[i].calls > 0 || list[i].instructions > 0) {
      fprintf(out, "%s{\"index\":%d,", separator, i);
      write_count(&list[i]);
      separator = ",";
    }
  }
  fprintf(out, "]");
}

static void write_counts(void) {
  struct nb_count total = {0};
  int layers = table.entry > 0 ? (int)table.count : marker_count;
  for (int i = 0; i <= layers; i++) {
    total.instructions += counts[i].instructions;
    total.cycles += counts[i].cycles;
    total.taken += counts[i].taken;
    total.loaded += counts[i].loaded;
    total.stored += counts[i].stored;
  }
  fprintf(out, "{\"branches_taken\":%" PRIu64 ",\"outside\":{", total.taken);
  write_count(&counts[0]);
  write_list("layers", counts + 1, layers);
  write_list("functions", functions, marker_count);
  fprintf(out, ",");
  write_count(&total);
  fprintf(out, "\n");
  fflush(out);
}

static void enter_layer(int layer) {
  /* Behind BL the layer returns to the next instruction; a tail call returns to wherever the
     * function that it ends would have. */
  if (previous != NULL && previous->ends_in_call) {
    if (depth == NB_MOST_DEPTH) {
      fprintf(stderr, "nb_count: layers nest deeper than %d\n", NB_MOST_DEPTH);
      abort();
    }
    stack[depth++].back = previous->end;
  } else if (depth == 0) {
    stack[depth++].back = UINT64_MAX; /* until `end` */
  }
  stack[depth - 1].slot = layer + 1;
}

static void add_refill(struct nb_count *count) {
  count->taken++;
  count->cycles += NB_CYCLES_REFILL + wait_states;
}

static void add_run(struct nb_count *count, const struct nb_run *run) {
  count->instructions += run->instructions;
  count->cycles += run->cycles;
  count->loaded += run->loaded;
  count->stored += run->stored;
}

/* The run that entered a layer has read its entry in the table. */
static void on_read(unsigned int vcpu, qemu_plugin_meminfo_t info, uint64_t address,
                    void *userdata) {
  (void)vcpu;
  (void)info;
  if (unknown == NULL || unknown != userdata) {
    return;
  }
  uint64_t index = address < table.address ? table.count : (address - table.address) / table.entry;
  if (index >= table.count) {
    fprintf(stderr, "nb_count: 0x%" PRIx64 " is no entry of the layers' table\n", address);
    abort();
  }
  struct nb_count *count = &counts[index + 1];
  stack[depth - 1].slot = (int)index + 1;
  count->calls++;
  add_run(count, unknown);
  unknown = NULL;
}

static void on_run(unsigned int vcpu, void *userdata) {
  const struct nb_run *run = userdata;
  (void)vcpu;
  if (unknown != NULL) {
    fprintf(stderr, "nb_count: a layer was entered and its entry not read\n");
    abort();
  }
  if (recording) {
    if (previous->end != run->start) {
      add_refill(current());
      if (previous->function >= 0) {
        add_refill(&functions[previous->function]);
      }
    }
    while (depth > 0 && stack[depth - 1].back == run->start) {
      depth--;
    }
  }
  if (run->marker != NULL) {
    switch (run->marker->kind) {
      case NB_BEGIN:
        memset(counts, 0, sizeof counts);
        memset(functions, 0, sizeof functions);
        depth = 0;
        executed = 0;
        recording = true;
        break;
      case NB_END:
        if (recording) {
          write_counts();
        }
        recording = false;
        break;
      case NB_LAYER:
        if (recording) {
          enter_layer(run->marker->layer);
          counts[run->marker->layer + 1].calls++;
        }
        break;
      case NB_TABLE:
        if (recording) {
          enter_layer(-1);
          unknown = run;
        }
        break;
      case NB_FUNCTION:
      case NB_NONE:
        break;
    }
    if (recording && run->marker->function >= 0) {
      functions[run->marker->function].calls++;
    }
  }
  if (recording) {
    if (unknown == NULL) {
      add_run(current(), run);
    }
    if (run->function >= 0) {
      add_run(&functions[run->function], run);
    }
    executed += run->instructions;
    if (limit != 0 && executed > limit) {
      fprintf(stderr, "nb_count: more than %" PRIu64 " instructions\n", limit);
      _Exit(3); /* deploy/devices/plugin.py: LIMIT_STATUS */
    }
  }
  previous = run;
}

static struct nb_instruction decode(const struct qemu_plugin_insn *insn) {
  uint8_t bytes[4] = {0};
  size_t size = qemu_plugin_insn_size(insn);
#if NB_QEMU_API >= 3
  qemu_plugin_insn_data(insn, bytes, sizeof bytes);
#else
  memcpy(bytes, qemu_plugin_insn_data(insn), size < sizeof bytes ? size : sizeof bytes);
#endif
  return nb_decode(bytes, (uint32_t)size);
}

/* Runs live as long as QEMU: a block that is translated again gets new ones. */
static struct nb_run *new_run(uint64_t start, const struct nb_marker *marker) {
  struct nb_run *run = calloc(1, sizeof *run);
  if (run == NULL) {
    fprintf(stderr, "nb_count: out of memory\n");
    abort();
  }
  run->start = run->end = start;
  run->marker = marker;
  run->function = find_function(start);
  return run;
}

static void translate(struct qemu_plugin_tb *tb) {
  struct nb_run *run = NULL;
  struct nb_instruction before = {0};
  size_t count = qemu_plugin_tb_n_insns(tb);
  for (size_t i = 0; i < count; i++) {
    struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
    uint64_t address = qemu_plugin_insn_vaddr(insn);
    const struct nb_marker *marker = find_marker(address);
    if (run == NULL || marker != NULL) {
      run = new_run(address, marker);
      qemu_plugin_register_vcpu_insn_exec_cb(insn, on_run, QEMU_PLUGIN_CB_NO_REGS, run);
      if (marker != NULL && marker->kind == NB_TABLE) {
        qemu_plugin_register_vcpu_mem_cb(insn, on_read, QEMU_PLUGIN_CB_NO_REGS, QEMU_PLUGIN_MEM_RW,
                                         run);
      }
    }
    struct nb_instruction instruction = decode(insn);
    run->instructions++;
    run->cycles += nb_cycles_behind(&instruction, i > 0 ? &before : NULL);
    run->loaded += instruction.loaded;
    run->stored += instruction.stored;
    run->end = address + qemu_plugin_insn_size(insn);
    run->ends_in_call = instruction.kind == NB_KIND_CALL;
    before = instruction;
  }
}

#if NB_QEMU_API >= 7
static void on_translate(struct qemu_plugin_tb *tb, void *userdata) {
  (void)userdata;
  translate(tb);
}
#else
static void on_translate(qemu_plugin_id_t id, struct qemu_plugin_tb *tb) {
  (void)id;
  translate(tb);
}
#endif

NB_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc,
                                  char **argv) {
  bool have_markers = false;
  (void)info;
  for (int i = 0; i < argc; i++) {
    if (strncmp(argv[i], "markers=", 8) == 0) {
      have_markers = read_markers(argv[i] + 8);
    } else if (strncmp(argv[i], "out=", 4) == 0) {
      out = fopen(argv[i] + 4, "w");
    } else if (strncmp(argv[i], "wait_states=", 12) == 0) {
      wait_states = (uint32_t)strtoul(argv[i] + 12, NULL, 10);
    } else if (strncmp(argv[i], "limit=", 6) == 0) {
      limit = strtoull(argv[i] + 6, NULL, 10);
    }
  }
  if (!have_markers || out == NULL) {
    fprintf(stderr, "nb_count: needs markers=FILE and out=FILE\n");
    return 1;
  }
#if NB_QEMU_API >= 7
  qemu_plugin_register_vcpu_tb_trans_cb(id, on_translate, NULL);
#else
  qemu_plugin_register_vcpu_tb_trans_cb(id, on_translate);
#endif
  return 0;
}
