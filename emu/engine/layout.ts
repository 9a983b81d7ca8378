/**
 * Where things lie in the engine's saved CPU state and in its own bookkeeping. None of this is public API: it is found
 * and proved once per process on a scratch engine, by running instructions whose effect is known. If one proof
 * fails, the machine does not start. The order of the fields is QEMU 5's `CPUX86State` (target/i386/cpu.h).
 */
import { closeSync, openSync, readSync } from 'node:fs';
import {
  type Ffi,
  ffi,
  HOOK,
  type Pointer,
  registerCallback,
  releaseCallback,
  UC_ARCH_X86,
  UC_CPU_X86_QEMU64,
  UC_MODE_64,
  UC_PROT_ALL,
  viewMemory,
} from './ffi.js';
import { HostMemory, PAGE_SIZE } from './host-memory.js';
import { EngineError } from './library.js';
import { REG } from './registers.js';

/** Offsets from the start of the CPU state; the same in all versions seen (2.1.1, 2.1.4). */
export const FIELD = {
  regs: 0,
  rip: 128,
  /** All but the arithmetic flags and DF, which are kept apart: see `cc` and `df`. */
  eflags: 136,
  /** The last result's operands; `ccOp` says how the arithmetic flags come from them. */
  ccSrc: 152,
  ccOp: 168,
  /** 1, or -1 where DF is set. */
  df: 172,
  hflags: 176,
  hflags2: 180,
  segments: 184,
  ldt: 328,
  tr: 352,
  gdt: 376,
  idt: 400,
  cr: 424,
} as const;
export const SEGMENT_SIZE = 24;
const OLD_EXCEPTION_AFTER_ERROR_CODE = 112;
const IS_INT_AFTER_ERROR_CODE = 4;

/** Value of `ccOp`: `ccSrc` holds the arithmetic flags themselves. */
export const CC_OP_EFLAGS = 1;

/** Bits of QEMU's hflags that the machine reads or writes. */
export const HFLAG = {
  CPL: 3,
  INHIBIT_IRQ: 1 << 3,
  CS32: 1 << 4,
  SS32: 1 << 5,
  ADDSEG: 1 << 6,
  PE: 1 << 7,
  LMA: 1 << 14,
  CS64: 1 << 15,
  /** DR7 has a breakpoint on I/O (HF_IOBPT): the machine keeps DR7 to itself, so the engine never sets it. */
  GUARDED: 1 << 24,
} as const;
/** Bit of hflags2: NMIs are blocked; a real IRET clears it. */
export const HFLAG2_NMI_MASK = 1 << 2;

export interface Layout {
  /** Bytes of one saved state. */
  readonly contextSize: number;
  /** Start of the CPU state within it. */
  readonly start: number;
  /** From `start`: i32 error code, i32 "came from INT n", i32 exception still being delivered, u64 EFER. */
  readonly errorCode: number;
  readonly isInt: number;
  readonly oldException: number;
  readonly efer: number;
  /** The CPU state that the engine works on: the engine's own structure holds a pointer at `pointer`, it lies `offset` bytes behind. */
  readonly live: { readonly pointer: number; readonly offset: number };
  /** In the engine's own structure: u64 instructions begun in this run, followed by u64 the limit of this run. */
  readonly counter: number;
}

const ENGINE_STRUCT_SEARCHED = 2048;
/** QEMU's CPU object holds its software TLB and then the CPU state; 2.1.1 has it 35 KiB behind the start. */
const CPU_OBJECT_SEARCHED = 1 << 17;
const USER_SPACE = { from: 0x1_0000n, to: 0x8000_0000_0000n } as const;

/** Bytes of the probe programs, by name. */
const CODE = {
  nopNopHlt: [0x90, 0x90, 0xf4],
  loadBadDs: [0x66, 0xb8, 0xd8, 0x7a, 0x8e, 0xd8], // mov $0x7ad8, %ax; mov %ax, %ds
  int21: [0xcd, 0x21],
  cli: [0xfa],
} as const;
const BAD_SELECTOR = 0x7ad8;
/** CF, PF, AF, ZF, SF, OF; DF is kept by itself. */
export const ARITHMETIC_FLAGS = 0x8d5n;
/** CF, AF, SF and DF. */
const RFLAGS_PROBE = 0x493n;

/** A throw-away engine with one engine-wide exception hook, on which the layout is proved. */
class Probe {
  readonly uc: Pointer;
  readonly context: Pointer;
  readonly state: DataView;
  readonly bookkeeping: DataView;
  readonly ram = new HostMemory(16 * PAGE_SIZE);
  vector = -1;
  readonly #callback: Pointer;
  readonly #ffi: Ffi;
  #next = PAGE_SIZE;

  constructor(f: Ffi) {
    this.#ffi = f;
    const out: [Pointer] = [null];
    f.check(f.open(UC_ARCH_X86, UC_MODE_64, out), 'uc_open');
    this.uc = out[0];
    f.check(f.setCpuModel(this.uc, UC_CPU_X86_QEMU64), 'uc_ctl');
    f.check(f.memMapPtr(this.uc, 0n, BigInt(this.ram.size), UC_PROT_ALL, this.ram.pointer), 'uc_mem_map_ptr');
    f.check(f.useExits(this.uc), 'uc_ctl');
    f.check(f.contextAlloc(this.uc, out), 'uc_context_alloc');
    this.context = out[0];
    this.state = new DataView(viewMemory(this.context, Number(f.contextSize(this.uc))));
    this.bookkeeping = new DataView(viewMemory(this.uc, ENGINE_STRUCT_SEARCHED));
    this.#callback = registerCallback('intr', (_uc: number, vector: number) => {
      this.vector = vector;
      this.save();
      f.stop(this.uc);
    });
    f.check(f.hookAdd(this.uc, [0], HOOK.INTR, this.#callback, null, 1n, 0n, 0), 'uc_hook_add');
  }

  save(): void {
    this.#ffi.contextSave(this.uc, this.context);
  }

  restore(): void {
    this.#ffi.contextRestore(this.uc, this.context);
  }

  /** Runs `code` at an address of its own: the engine does not notice code written from outside. */
  run(code: readonly number[], count: number): number {
    const at = this.#next;
    this.#next += 64;
    this.ram.bytes.set(code, at);
    this.vector = -1;
    this.#ffi.start(this.uc, BigInt(at), 0n, 0n, count);
    return at;
  }

  setRegister(id: number, value: bigint): void {
    const bytes = Buffer.alloc(24);
    bytes.writeBigUInt64LE(value);
    this.#ffi.regWrite(this.uc, id, bytes);
  }

  close(): void {
    this.#ffi.contextFree(this.context);
    this.#ffi.close(this.uc);
    releaseCallback(this.#callback);
    this.ram.close();
  }
}

/**
 * Finds the CPU state that the engine works on by the registers that it begins with. The engine's structure is full of words
 * that may be no pointers, so memory behind them is read through /proc/self/mem, which refuses what is not mapped. Copies
 * of the registers can lie behind other pointers: the truth is what follows a change; and seen from several pointers, the
 * smallest distance is the one within one object.
 */
function searchLive(probe: Probe, registers: readonly [number, bigint][]): Layout['live'] | undefined {
  const memory = openSync('/proc/self/mem', 'r');
  const bytes = Buffer.alloc(CPU_OBJECT_SEARCHED);
  const offsetBehind = (address: bigint, words: readonly bigint[]): number => {
    const wanted = Buffer.from(new BigUint64Array(words).buffer);
    return bytes.subarray(0, readMapped(memory, bytes, address)).indexOf(wanted);
  };
  const words = registers.map(([, value]) => value);
  const changed = words.map((value) => value ^ 0xffn);
  const write = (values: readonly bigint[]): void => {
    for (const [index, [id]] of registers.entries()) probe.setRegister(id, values[index]!);
  };
  let best: Layout['live'] | undefined;
  try {
    for (let pointer = 0; pointer < ENGINE_STRUCT_SEARCHED; pointer += 8) {
      const address = probe.bookkeeping.getBigUint64(pointer, true);
      if (address < USER_SPACE.from || address >= USER_SPACE.to || address % 8n !== 0n) continue;
      write(words);
      const offset = offsetBehind(address, words);
      if (offset < 0) continue;
      write(changed);
      const follows = offsetBehind(address + BigInt(offset), changed) === 0;
      if (follows && (best === undefined || offset < best.offset)) best = { pointer, offset };
    }
    return best;
  } finally {
    closeSync(memory);
  }
}

/** @returns how many bytes could be read. */
function readMapped(memory: number, into: Buffer, address: bigint): number {
  try {
    return readSync(memory, into, 0, into.length, address);
  } catch {
    return 0;
  }
}

/** First offset in [from, to) at which `matches` holds, or -1. */
function search(from: number, to: number, step: number, matches: (offset: number) => boolean): number {
  for (let offset = from; offset < to; offset += step) if (matches(offset)) return offset;
  return -1;
}

function misplaced(f: Ffi, what: string): EngineError {
  const { version, path } = f.library;
  return new EngineError(
    `expected the CPU state of libunicorn to be laid out as in 2.1.1 to 2.1.4, found ${what} elsewhere in version ${version} (${path})`,
  );
}

function discover(f: Ffi): Layout {
  const probe = new Probe(f);
  const { state, bookkeeping } = probe;
  const prove = (holds: boolean, what: string): void => {
    if (!holds) throw misplaced(f, what);
  };
  try {
    const contextSize = state.byteLength;
    probe.run(CODE.nopNopHlt, 1001);
    const counter = search(0, ENGINE_STRUCT_SEARCHED - 16, 8, (o) => {
      return bookkeeping.getBigUint64(o, true) === 3n && bookkeeping.getBigUint64(o + 8, true) === 1001n;
    });
    prove(counter >= 0, 'the instruction counter');
    const stoppedAt = probe.run(CODE.nopNopHlt, 1) + 1;
    prove(bookkeeping.getBigUint64(counter, true) === 2n, 'the meaning of the instruction counter');

    const [rax, rcx] = [0x1122_3344_5566_7788n, 0x99aa_bbcc_ddee_ff00n];
    probe.setRegister(REG.RAX, rax);
    probe.setRegister(REG.RCX, rcx);
    probe.setRegister(REG.CR3, 0x2000n);
    probe.save();
    const start = search(0, contextSize - 16, 4, (o) => {
      return state.getBigUint64(o, true) === rax && state.getBigUint64(o + 8, true) === rcx;
    });
    prove(start >= 0, 'RAX and RCX');
    const at = (offset: number): number => start + offset;
    prove(state.getBigUint64(at(FIELD.rip), true) === BigInt(stoppedAt), 'RIP');
    prove(state.getBigUint64(at(FIELD.cr) + 24, true) === 0x2000n, 'CR3');

    const live = searchLive(probe, [
      [REG.RAX, rax],
      [REG.RCX, rcx],
    ]);
    if (live === undefined) throw misplaced(f, 'the CPU state that the engine works on');
    probe.setRegister(REG.RFLAGS, RFLAGS_PROBE);
    const now = new DataView(liveState(probe.uc, live, contextSize - start));
    prove(
      now.getUint32(FIELD.ccOp, true) === CC_OP_EFLAGS &&
        now.getBigUint64(FIELD.ccSrc, true) === (RFLAGS_PROBE & ARITHMETIC_FLAGS) &&
        now.getInt32(FIELD.df, true) === -1,
      'the arithmetic flags',
    );
    probe.setRegister(REG.RFLAGS, 2n);

    const table = Buffer.alloc(24);
    for (const [id, field, name] of [
      [REG.IDTR, FIELD.idt, 'IDTR'],
      [REG.GDTR, FIELD.gdt, 'GDTR'],
    ] as const) {
      table.writeBigUInt64LE(0x5000n, 8);
      table.writeUInt32LE(0x7b, 16);
      f.regWrite(probe.uc, id, table);
      probe.save();
      prove(
        state.getBigUint64(at(field) + 8, true) === 0x5000n && state.getUint32(at(field) + 16, true) === 0x7b,
        name,
      );
    }

    const efer = 0xd01n;
    table.writeUInt32LE(0xc000_0080, 0);
    table.writeBigUInt64LE(efer, 8);
    f.regWrite(probe.uc, REG.MSR, table);
    probe.save();
    const eferAt = search(FIELD.cr + 40, FIELD.cr + 256, 8, (o) => state.getBigUint64(at(o), true) === efer);
    prove(eferAt >= 0, 'EFER');

    probe.run(CODE.loadBadDs, 10);
    prove(probe.vector === 13, 'the exception of a bad selector');
    const errorCode = search(
      FIELD.cr,
      contextSize - start - 128,
      4,
      (o) => state.getUint32(at(o), true) === BAD_SELECTOR,
    );
    const oldException = errorCode + OLD_EXCEPTION_AFTER_ERROR_CODE;
    prove(errorCode >= 0, 'the error code');
    prove(state.getInt32(at(oldException), true) === 13, 'the exception in delivery');
    state.setInt32(at(oldException), -1, true);
    probe.restore();

    const isInt = errorCode + IS_INT_AFTER_ERROR_CODE;
    probe.run(CODE.int21, 10);
    prove(probe.vector === 0x21 && state.getInt32(at(isInt), true) === 1, 'the mark of INT n');

    // Privilege: with CPL 3 patched in, CLI must fault.
    const hflags = state.getUint32(at(FIELD.hflags), true);
    prove((hflags & (HFLAG.LMA | HFLAG.CS64 | HFLAG.PE)) === (HFLAG.LMA | HFLAG.CS64 | HFLAG.PE), 'hflags');
    state.setInt32(at(oldException), -1, true);
    state.setUint32(at(FIELD.hflags), hflags | HFLAG.CPL, true);
    probe.restore();
    probe.run(CODE.cli, 1);
    prove(probe.vector === 13, 'the privilege level');

    return { contextSize, start, errorCode, isInt, oldException, efer: eferAt, live, counter };
  } finally {
    probe.close();
  }
}

/** A window on the CPU state inside an engine; valid until the engine is closed. */
export function liveState(uc: Pointer, { pointer, offset }: Layout['live'], length: number): ArrayBuffer {
  const object = new DataView(viewMemory(uc, pointer + 8)).getBigUint64(pointer, true);
  return viewMemory(object + BigInt(offset), length);
}

let known: Layout | undefined;
/** The layout of the loaded library, found and proved at the first call. @throws EngineError when a proof fails. */
export function layout(): Layout {
  known ??= discover(ffi());
  return known;
}
