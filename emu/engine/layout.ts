/**
 * Where things lie in the engine's saved CPU state and in its own bookkeeping. None of this is public API: it is found
 * and proved once per process on a scratch engine, by running instructions whose effect is known. If one proof
 * fails, the machine does not start. The order of the fields is QEMU 5's `CPUX86State` (target/i386/cpu.h).
 */
import {
  type Ffi,
  ffi,
  HOOK,
  type Pointer,
  REG,
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

/** Offsets from the start of the CPU state; the same in all versions seen (2.1.1, 2.1.4). */
export const FIELD = {
  regs: 0,
  rip: 128,
  eflags: 136,
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
  /** In the engine's own structure: u64 instructions begun in this run, followed by u64 the limit of this run. */
  readonly counter: number;
}

const ENGINE_STRUCT_SEARCHED = 2048;

/** Bytes of the probe programs, by name. */
const CODE = {
  nopNopHlt: [0x90, 0x90, 0xf4],
  loadBadDs: [0x66, 0xb8, 0xd8, 0x7a, 0x8e, 0xd8], // mov $0x7ad8, %ax; mov %ax, %ds
  int21: [0xcd, 0x21],
  cli: [0xfa],
} as const;
const BAD_SELECTOR = 0x7ad8;

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
    this.#callback = registerCallback('intr', (_uc: Pointer, vector: number) => {
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

/** First offset in [from, to) at which `matches` holds, or -1. */
function search(from: number, to: number, step: number, matches: (offset: number) => boolean): number {
  for (let offset = from; offset < to; offset += step) if (matches(offset)) return offset;
  return -1;
}

function discover(f: Ffi): Layout {
  const probe = new Probe(f);
  const { state, bookkeeping } = probe;
  const prove = (holds: boolean, what: string): void => {
    if (holds) return;
    const { version, path } = f.library;
    throw new EngineError(
      `expected the CPU state of libunicorn to be laid out as in 2.1.1 to 2.1.4, found ${what} elsewhere in version ${version} (${path})`,
    );
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

    return { contextSize, start, errorCode, isInt, oldException, efer: eferAt, counter };
  } finally {
    probe.close();
  }
}

let known: Layout | undefined;
/** The layout of the loaded library, found and proved at the first call. @throws EngineError when a proof fails. */
export function layout(): Layout {
  known ??= discover(ffi());
  return known;
}
