// SPDX-License-Identifier: Apache-2.0
/* What one instruction costs on a Cortex-M4: a model, for estimates.
 *
 * Source: Arm Cortex-M4 Processor Technical Reference Manual r0p1 (DDI 0439D), table 3-1
 * (instruction set summary), table 3-2 (DSP instructions), section 3.3.2 (load/store timings) and
 * table 7-1 (FPU instructions), all for zero wait states. Modelled besides the tables: loads that
 * pipeline behind a load, taken branches, folded IT. Not modelled: unaligned accesses, the stall
 * of an address that the instruction before computed, a full write buffer, literal loads that
 * compete with the fetch unit. */
#ifndef NB_CYCLES_H
#define NB_CYCLES_H

#include <stdbool.h>
#include <stdint.h>

enum {
  NB_CYCLES_ALU = 1,            /* table 3-1; multiplies and all of table 3-2 are 1, too */
  NB_CYCLES_DIVIDE = 7,         /* SDIV, UDIV: 2 to 12 by operands; the middle of that range */
  NB_CYCLES_LOAD = 2,           /* LDR and kin */
  NB_CYCLES_LOAD_PIPELINED = 1, /* 3.3.2: behind a load whose result is not the address */
  NB_CYCLES_STORE = 1,          /* 3.3.2: STR Rx,[Ry,#imm] is always one cycle */
  NB_CYCLES_STORE_REGISTER = 2, /* STR Rx,[Ry,Rz]; 1 behind a load, as for loads */
  NB_CYCLES_MULTIPLE = 1,       /* LDM, STM, PUSH, POP, LDRD, STRD: 1 + N registers */
  NB_CYCLES_EXCLUSIVE = 2,      /* LDREX, STREX and kin */
  NB_CYCLES_TABLE_BRANCH = 2,   /* TBB, TBH: 2 + P */
  NB_CYCLES_BRANCH = 1,         /* 1, and P more where it is taken */
  NB_CYCLES_REFILL = 2,         /* P: pipeline refill, 1 to 3; the middle of that range */
  NB_CYCLES_SYSTEM = 2,         /* MRS, MSR, CPS: 1 or 2; barriers 1 + B */
  NB_CYCLES_FPU = 1,            /* VADD, VSUB, VMUL, VCMP, VCVT, VMOV, VABS, VNEG */
  NB_CYCLES_FPU_ACCUMULATE = 3, /* VMLA, VMLS, VFMA, VFMS and negated forms */
  NB_CYCLES_FPU_DIVIDE = 14,    /* VDIV, VSQRT */
  NB_CYCLES_FPU_LOAD = 2,       /* VLDR.32, VSTR.32; 3 for 64 bits */
  NB_CYCLES_FPU_PAIR = 2,       /* VMOV of two core registers */
};

enum nb_kind {
  NB_KIND_ALU,
  NB_KIND_DIVIDE,
  NB_KIND_LOAD,
  NB_KIND_STORE,
  NB_KIND_MULTIPLE,
  NB_KIND_BRANCH,
  NB_KIND_CALL, /* BL, BLX: returns to the instruction behind it */
  NB_KIND_SYSTEM,
  NB_KIND_FPU,
};

struct nb_instruction {
  enum nb_kind kind;
  uint8_t cycles;    /* without refill, alone */
  uint8_t pipelined; /* where it follows a load that does not give its address */
  int8_t base;       /* loads, stores: address register; -1: none that matters */
  int8_t offset;     /* ... and its index register */
  int8_t result;     /* loads: register that arrives last; -1: none */
  uint16_t loaded;   /* bytes that it reads from memory */
  uint16_t stored;   /* bytes that it writes */
  bool narrow;       /* 16 bits long */
  bool is_it;
};

static int nb_count_bits(uint32_t value) {
  int count = 0;
  for (; value != 0; value &= value - 1) {
    count++;
  }
  return count;
}

static void nb_set(struct nb_instruction *i, enum nb_kind kind, int cycles) {
  i->kind = kind;
  i->cycles = i->pipelined = (uint8_t)cycles;
}

static void nb_move(struct nb_instruction *i, bool load, int bytes) {
  *(load ? &i->loaded : &i->stored) = (uint16_t)bytes;
}

static void nb_set_load(struct nb_instruction *i, int bytes, int result, int base, int offset) {
  nb_move(i, true, bytes);
  nb_set(i, NB_KIND_LOAD, NB_CYCLES_LOAD);
  i->pipelined = NB_CYCLES_LOAD_PIPELINED;
  i->result = (int8_t)result;
  i->base = (int8_t)base;
  i->offset = (int8_t)offset;
}

static void nb_set_store(struct nb_instruction *i, int bytes, int base, int offset) {
  nb_move(i, false, bytes);
  nb_set(i, NB_KIND_STORE, offset < 0 ? NB_CYCLES_STORE : NB_CYCLES_STORE_REGISTER);
  i->pipelined = NB_CYCLES_STORE;
  i->base = (int8_t)base;
  i->offset = (int8_t)offset;
}

static void nb_set_multiple(struct nb_instruction *i, bool load, int registers) {
  nb_move(i, load, 4 * registers);
  nb_set(i, NB_KIND_MULTIPLE, NB_CYCLES_MULTIPLE + registers);
}

/* 16-bit Thumb: ARMv7-M Architecture Reference Manual (DDI 0403E), A5.2. */
static void nb_decode_narrow(struct nb_instruction *i, uint32_t h) {
  if ((h & 0xF800) == 0x4800) { /* LDR literal */
    nb_set_load(i, 4, (h >> 8) & 7, -1, -1);
  } else if ((h & 0xF000) == 0x5000) { /* register offset: STR STRH STRB LDRSB LDR... */
    static const uint8_t bytes[8] = {4, 2, 1, 1, 4, 2, 1, 2};
    uint32_t op = (h >> 9) & 7;
    if (op < 3) {
      nb_set_store(i, bytes[op], (h >> 3) & 7, (h >> 6) & 7);
    } else {
      nb_set_load(i, bytes[op], h & 7, (h >> 3) & 7, (h >> 6) & 7);
    }
  } else if (h >= 0x6000 && h < 0x9000) { /* immediate offset: word, byte, halfword */
    int bytes = h < 0x7000 ? 4 : h < 0x8000 ? 1 : 2;
    if (h & 0x0800) {
      nb_set_load(i, bytes, h & 7, (h >> 3) & 7, -1);
    } else {
      nb_set_store(i, bytes, (h >> 3) & 7, -1);
    }
  } else if ((h & 0xF000) == 0x9000) { /* SP relative */
    if (h & 0x0800) {
      nb_set_load(i, 4, (h >> 8) & 7, 13, -1);
    } else {
      nb_set_store(i, 4, 13, -1);
    }
  } else if ((h & 0xF600) == 0xB400) { /* PUSH, POP */
    nb_set_multiple(i, (h & 0x0800) != 0, nb_count_bits(h & 0x1FF));
  } else if ((h & 0xF000) == 0xC000) { /* STM, LDM */
    nb_set_multiple(i, (h & 0x0800) != 0, nb_count_bits(h & 0xFF));
  } else if ((h & 0xFF87) == 0x4780) { /* BLX Rm */
    nb_set(i, NB_KIND_CALL, NB_CYCLES_BRANCH);
  } else if ((h & 0xFF00) == 0x4700 || (h & 0xF500) == 0xB100 || /* BX; CBZ, CBNZ */
             (h & 0xF000) == 0xD000 || (h & 0xF800) == 0xE000) { /* B<cc>; B */
    nb_set(i, NB_KIND_BRANCH, NB_CYCLES_BRANCH);
  } else if ((h & 0xFFE0) == 0xB660) { /* CPS */
    nb_set(i, NB_KIND_SYSTEM, NB_CYCLES_SYSTEM);
  } else {
    i->is_it = (h & 0xFF00) == 0xBF00 && (h & 0xF) != 0;
  }
}

/* Coprocessors 10 and 11: the FPU. */
static void nb_decode_fpu(struct nb_instruction *i, uint32_t h, uint32_t l) {
  bool is_double = (l & 0x0F00) == 0x0B00;
  if ((h & 0xFFE0) == 0xEC40) {
    nb_set(i, NB_KIND_FPU, NB_CYCLES_FPU_PAIR);
  } else if ((h & 0xFF20) == 0xED00) { /* VLDR, VSTR */
    nb_set(i, NB_KIND_FPU, NB_CYCLES_FPU_LOAD + is_double);
    nb_move(i, (h & 0x10) != 0, is_double ? 8 : 4);
  } else if ((h & 0xFE00) == 0xEC00) { /* VLDM, VSTM, VPUSH, VPOP */
    nb_set(i, NB_KIND_FPU, NB_CYCLES_MULTIPLE + (int)(l & 0xFF));
    nb_move(i, (h & 0x10) != 0, 4 * (int)(l & 0xFF));
  } else if ((l & 0x10) != 0) { /* VMOV to or from a core register, VMRS */
    nb_set(i, NB_KIND_FPU, NB_CYCLES_FPU);
  } else {
    uint32_t op = h & 0xB0;
    bool divide = (op == 0x80 && (l & 0x40) == 0) || ((h & 0xBF) == 0xB1 && (l & 0xC0) == 0xC0);
    bool accumulate = op == 0x00 || op == 0x10 || op == 0x90 || op == 0xA0;
    nb_set(i, NB_KIND_FPU,
           divide       ? NB_CYCLES_FPU_DIVIDE
           : accumulate ? NB_CYCLES_FPU_ACCUMULATE
                        : NB_CYCLES_FPU);
  }
}

/* 32-bit Thumb: DDI 0403E, A5.3. */
static void nb_decode_wide(struct nb_instruction *i, uint32_t h, uint32_t l) {
  int base = (int)(h & 15);
  bool load = (h & 0x10) != 0;
  if ((h & 0xEC00) == 0xEC00) {
    nb_decode_fpu(i, h, l);
  } else if ((h & 0xFE40) == 0xE800) { /* STM, LDM */
    nb_set_multiple(i, load, nb_count_bits(l));
  } else if ((h & 0xFFF0) == 0xE8D0 && (l & 0xFFE0) == 0xF000) { /* TBB, TBH */
    nb_set(i, NB_KIND_BRANCH, NB_CYCLES_TABLE_BRANCH);
    nb_move(i, true, (l & 0x10) != 0 ? 2 : 1);
  } else if ((h & 0xFFE0) == 0xE840 || (h & 0xFFE0) == 0xE8C0) { /* exclusive */
    nb_set(i, NB_KIND_MULTIPLE, NB_CYCLES_EXCLUSIVE);
    nb_move(i, load, 4);
  } else if ((h & 0xFE40) == 0xE840) { /* LDRD, STRD */
    nb_set_multiple(i, load, 2);
  } else if ((h & 0xF800) == 0xF000 && (l & 0x8000) != 0) {
    if ((l & 0x5000) == 0x5000) { /* BL */
      nb_set(i, NB_KIND_CALL, NB_CYCLES_BRANCH);
    } else if ((l & 0x5000) == 0 && (h & 0x0380) == 0x0380) { /* MSR, MRS, hints, barriers */
      nb_set(i, NB_KIND_SYSTEM, NB_CYCLES_SYSTEM);
    } else {
      nb_set(i, NB_KIND_BRANCH, NB_CYCLES_BRANCH);
    }
  } else if ((h & 0xFE00) == 0xF800) { /* single loads and stores */
    bool immediate = (h & 0x0080) != 0 || (l & 0x0800) != 0;
    int offset = immediate ? -1 : (int)(l & 15);
    int bytes = 1 << ((h >> 5) & 3);
    if (!load) {
      nb_set_store(i, bytes, base, offset);
    } else if ((l >> 12) == 15 && (h & 0x0060) != 0x0040) { /* PLD, PLI */
      nb_set(i, NB_KIND_ALU, NB_CYCLES_ALU);
    } else if (base == 15) { /* literal */
      nb_set_load(i, bytes, (int)(l >> 12), -1, -1);
    } else {
      nb_set_load(i, bytes, (int)(l >> 12), base, offset);
    }
  } else if ((h & 0xFFD0) == 0xFB90) { /* SDIV, UDIV */
    nb_set(i, NB_KIND_DIVIDE, NB_CYCLES_DIVIDE);
  }
}

/* Decodes one instruction: `bytes` are its 2 or 4 bytes, little endian. */
static struct nb_instruction nb_decode(const uint8_t *bytes, uint32_t size) {
  struct nb_instruction i = {.kind = NB_KIND_ALU,
                             .cycles = NB_CYCLES_ALU,
                             .pipelined = NB_CYCLES_ALU,
                             .base = -1,
                             .offset = -1,
                             .result = -1,
                             .narrow = size == 2};
  uint32_t high = bytes[0] | (uint32_t)bytes[1] << 8;
  if (size == 2) {
    nb_decode_narrow(&i, high);
  } else {
    nb_decode_wide(&i, high, bytes[2] | (uint32_t)bytes[3] << 8);
  }
  return i;
}

/* Cycles of `i` executed right behind `before` (NULL: behind a branch). */
static uint32_t nb_cycles_behind(const struct nb_instruction *i,
                                 const struct nb_instruction *before) {
  if (before == NULL) {
    return i->cycles;
  }
  if (i->is_it && before->narrow) {
    return 0; /* table 3-1, note d: folded onto a preceding 16-bit instruction */
  }
  bool hidden = before->kind == NB_KIND_LOAD &&
                (before->result < 0 || (before->result != i->base && before->result != i->offset));
  return hidden ? i->pipelined : i->cycles;
}

#endif
