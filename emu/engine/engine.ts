/**
 * One Unicorn engine that runs the code of all virtual CPUs, one at a time. The others are saved states; changing CPUs is
 * copying 5.5 KiB out and in and, where the address spaces differ, dropping the software TLB: about 1 µs. One engine and not one
 * per CPU, because then the engine itself notices code that is written by another CPU, and code is translated once for all.
 */
import { BlockReports } from './block-report.js';
import type { EngineClient, MemoryAccess, MmioWindow, RunEnd } from './client.js';
import { Counter } from './counter.js';
import { CpuState } from './cpu-state.js';
import {
  type Ffi,
  ffi,
  HOOK,
  type Pointer,
  UC_ARCH_X86,
  UC_CPU_X86_QEMU64,
  UC_ERR_EXCEPTION,
  UC_ERR_OK,
  UC_MEM_WRITE,
  UC_MODE_64,
  UC_PROT_ALL,
  UC_PROT_READ_EXECUTE,
  viewMemory,
} from './ffi.js';
import { Hooks, unsigned } from './hooks.js';
import { type HostMemory, PAGE_SIZE } from './host-memory.js';
import { hookInstructions } from './instruction-hooks.js';
import { HFLAG, type Layout, layout, liveState } from './layout.js';
import { expectRecent, isRecent } from './library.js';
import { REG } from './registers.js';
import { Stops } from './stops.js';
import { StoreMarks } from './store-marks.js';
import { CODE_BUFFER, Translation } from './translation.js';
import type { Block } from './translation-traps.js';

/** The last page below 4 GiB, where a PC has its firmware. */
const PRIMER_ADDRESS = 0xffff_f000n;
/** `jmp .+2; hlt`: two blocks. */
const PRIMER = [0xeb, 0x00, 0xf4];

/** An access is told by its first byte: one that begins so far before a range may reach into it. */
const LONGEST_ACCESS = 16;
const ACCESS_HOOK: Readonly<Record<MemoryAccess['kind'], number>> = {
  read: HOOK.MEM_READ,
  write: HOOK.MEM_WRITE,
};

export class Engine {
  readonly #ffi: Ffi = ffi();
  readonly #layout: Layout = layout();
  readonly #client: EngineClient;
  readonly #uc: Pointer;
  readonly #pristine: Pointer;
  readonly #contexts: Pointer[] = [];
  readonly #counter: Counter;
  readonly #live: DataView;
  #running = false;
  readonly #scratch = Buffer.alloc(16);
  readonly #hooks: Hooks;
  readonly #stops: Stops;
  readonly #reports = new BlockReports();
  readonly #translation: Translation;
  readonly #storeMarks: StoreMarks;
  /** The CPU that runs holds an event back. */
  #guarded = false;
  #guardCallback: Pointer = null;
  #memoryCallback: Pointer = null;
  #loaded: CpuState | undefined;
  #priming = false;
  #isAtGuard = false;
  /** Counts before the engine was last started, of one run. */
  #countedBefore = 0;

  /**
   * @param countsBlocks free running: time goes block by block, and runs end between two of them
   * @throws EngineError where the library does not do that
   */
  constructor(ram: HostMemory, client: EngineClient, countsBlocks = false) {
    this.#client = client;
    const f = this.#ffi;
    if (countsBlocks) expectRecent(f.library);
    const out: [Pointer] = [null];
    f.check(f.open(UC_ARCH_X86, UC_MODE_64, out), 'uc_open');
    this.#uc = out[0];
    this.#hooks = new Hooks(f, this.#uc);
    f.check(f.setCpuModel(this.#uc, UC_CPU_X86_QEMU64), 'uc_ctl');
    this.#counter = new Counter(this.#uc, this.#layout.counter);
    const { contextSize, start, live } = this.#layout;
    const codeBuffer = countsBlocks ? CODE_BUFFER.big : CODE_BUFFER.small;
    f.check(f.codeBuffer(this.#uc, codeBuffer), 'uc_ctl');
    f.check(f.useExits(this.#uc), 'uc_ctl');
    f.check(f.memMapPtr(this.#uc, 0n, BigInt(ram.size), UC_PROT_ALL, ram.pointer), 'uc_mem_map_ptr');
    this.#translation = new Translation({
      ram: ram.bytes,
      isExact: !countsBlocks,
      codeBuffer,
      physicalOf: (address) => client.codeAddress(address),
      mode: () => (this.#loaded?.hflags ?? 0) & (HFLAG.CS32 | HFLAG.CS64),
      keepStoreMarks: (page) => {
        if (this.#storeMarks.keep(page)) f.flushTlb(this.#uc);
      },
      setExits: (addresses) => f.check(f.setExits(this.#uc, BigUint64Array.from(addresses)), 'uc_ctl'),
      forget: (block) => this.#forget(block),
      hookInstruction: (address) => this.#stops.hookInstruction(address),
      hookGuard: (address) => {
        this.#hooks.add(HOOK.BLOCK, this.#guardCallback, address, address);
      },
      endAtGuard: (block) => {
        this.#forget(block);
        this.#isAtGuard = true;
      },
    });
    f.check(f.memMap(this.#uc, PRIMER_ADDRESS, BigInt(PAGE_SIZE), UC_PROT_READ_EXECUTE), 'uc_mem_map');
    f.check(f.memWrite(this.#uc, PRIMER_ADDRESS, Buffer.from(PRIMER), BigInt(PRIMER.length)), 'uc_mem_write');
    this.#live = new DataView(liveState(this.#uc, live, contextSize - start));
    f.check(f.contextAlloc(this.#uc, out), 'uc_context_alloc');
    this.#pristine = out[0];
    f.check(f.contextSave(this.#uc, this.#pristine), 'uc_context_save');
    this.#contexts.push(this.#pristine);
    this.#prime();
    if (countsBlocks) {
      this.#counter.countBlocks(f, this.#uc, this.#hooks);
      f.check(f.flushCode(this.#uc), 'uc_ctl');
      this.#prime();
    }
    this.#addHooks();
    this.#storeMarks = new StoreMarks(this.#hooks, this.#memoryCallback, isRecent(f.library));
    this.#stops = new Stops({
      hooks: this.#hooks,
      counter: this.#counter,
      client,
      setRip: (address) => {
        this.#loaded!.rip = address;
      },
      stop: () => f.stop(this.#uc),
    });
  }

  /**
   * The engine reports new blocks only once a run has gone from one block to a second since the last flush. So two that do not
   * matter are run, on a page of their own, in the state that the engine was born in.
   */
  #prime(): void {
    const f = this.#ffi;
    f.contextRestore(this.#uc, this.#pristine);
    this.#priming = true;
    f.start(this.#uc, PRIMER_ADDRESS, 0n, 0n, 10);
    this.#priming = false;
  }

  #addHooks(): void {
    const client = this.#client;
    hookInstructions({
      hooks: this.#hooks,
      counter: this.#counter,
      client,
      state: () => this.#loaded!,
      retired: () => this.retired,
      excepted: () => {
        if (this.#guarded) this.curtail(); // a handler may have been entered, whose hflags lack the mark
      },
    });
    this.#hooks.always(HOOK.EDGE_GENERATED, 'edge', (_uc: number, block: number) => {
      if (this.#priming) return;
      this.#hooks.guard(
        () => this.#translation.translated(this.#reports.read(block), this.#guarded, this.#stops.addresses),
        undefined,
      );
    });
    this.#guardCallback = this.#hooks.atCode((address) => this.#beforeGuard(address));
    this.#memoryCallback = this.#hooks.callback(
      'memory',
      (_uc: number, type: number, address: bigint | number, size: number) => {
        const kind = type === UC_MEM_WRITE ? 'write' : 'read';
        this.#hooks.guard(() => client.accessed({ kind, address: Number(address), size }), undefined);
      },
    );
  }

  /** Ends the run, and has a block translated again when it is next to run. */
  #forget({ pc, size }: Block): void {
    const f = this.#ffi;
    f.removeCode(this.#uc, pc, pc + BigInt(size));
    f.stop(this.#uc);
  }

  /** A block that begins with a guard is about to run: a guarded run ends before it. */
  #beforeGuard(address: bigint): void {
    if (!this.#guarded) return;
    this.#loaded!.rip = address;
    this.#isAtGuard = true;
    this.#ffi.stop(this.#uc);
  }

  /** A new CPU in the engine's reset state. */
  newState(): CpuState {
    const f = this.#ffi;
    const out: [Pointer] = [null];
    f.check(f.contextAlloc(this.#uc, out), 'uc_context_alloc');
    this.#contexts.push(out[0]);
    const state = new CpuState({
      ffi: f,
      uc: this.#uc,
      layout: this.#layout,
      live: this.#live,
      running: () => this.#running,
      context: out[0],
    });
    state.bytes.set(new Uint8Array(viewMemory(this.#pristine, this.#layout.contextSize)));
    return state;
  }

  #save(state: CpuState): void {
    this.#ffi.contextSave(this.#uc, state.context);
  }
  #restore(state: CpuState): void {
    this.#ffi.contextRestore(this.#uc, state.context);
  }

  /** Runs end behind the instruction at which they are told to, and not behind its block. */
  get isExact(): boolean {
    return this.#counter.isExact;
  }

  /** A copy, for `replace`; also in the middle of a run. */
  copyOf(state: CpuState): Uint8Array {
    if (state.loaded) this.#save(state);
    return state.bytes.slice();
  }

  /** Replaces a state by a copy taken earlier. */
  replace(state: CpuState, bytes: Uint8Array): void {
    state.bytes.set(bytes);
    if (state.loaded) this.#restore(state);
    state.hflags &= ~HFLAG.GUARDED; // a copy may have been made in the middle of a guarded run
  }

  /** Makes `state` the one inside the engine. */
  load(state: CpuState): void {
    if (state.loaded) return;
    const before = this.#loaded;
    if (before !== undefined) {
      this.#save(before);
      before.loaded = false;
      if (!sameAddressSpace(before, state)) this.#ffi.flushTlb(this.#uc);
    }
    this.#restore(state);
    state.loaded = true;
    this.#loaded = state;
  }

  /**
   * Runs `state` for at most `limit` instructions (at least 1). The instructions begun are counted; one that faults and is
   * executed again counts twice, each iteration of a `rep` string instruction counts once. A breakpoint at
   * `passed` does not stop the first instruction.
   */
  run(state: CpuState, limit: number, passed?: bigint): { end: RunEnd; executed: number } {
    return this.#run(state, limit, passed);
  }

  /**
   * The same, and the run also ends as `guard` before an instruction that may let in what the CPU holds back (`guards.ts`), and behind
   * an exception. In 64-bit mode only.
   */
  runGuarded(state: CpuState, limit: number, passed?: bigint): { end: RunEnd; executed: number } {
    if (this.#translation.isGuard(state.rip)) return { end: 'guard', executed: 0 };
    this.load(state);
    state.hflags |= HFLAG.GUARDED;
    this.#guarded = true;
    try {
      const { end, executed } = this.#run(state, limit, passed);
      return { end: end === 'halt' ? 'guard' : end, executed };
    } finally {
      this.#guarded = false;
      state.hflags &= ~HFLAG.GUARDED;
    }
  }

  #run(state: CpuState, instructions: number, passed?: bigint): { end: RunEnd; executed: number } {
    const { end, counts } = this.#runCounts(state, this.#counter.limit(instructions), passed);
    return { end, executed: this.#counter.instructions(counts) };
  }

  #runCounts(state: CpuState, limit: number, passed?: bigint): { end: RunEnd; counts: number } {
    const f = this.#ffi;
    let counts = 0;
    for (;;) {
      this.load(state);
      if (this.#translation.isFull) this.flushCode();
      this.#stops.begin(counts === 0 ? passed : undefined);
      this.#isAtGuard = false;
      this.#translation.isUnfinished = false;
      this.#countedBefore = counts;
      state.exceptionDelivered(); // one that the end of the last run cut short comes again, and is no second one
      this.#running = true;
      const code = f.start(this.#uc, state.rip, 0n, 0n, limit - counts) as number;
      this.#running = false;
      const { begun, allowed } = this.#counter;
      this.#rethrow();
      const { stoppedAt } = this.#stops;
      if (stoppedAt !== undefined) return { end: 'breakpoint', counts: counts + stoppedAt };
      counts += Math.min(begun, allowed);
      if (begun > allowed) return { end: 'limit', counts };
      if (this.#isAtGuard) return { end: begun < allowed ? 'guard' : 'limit', counts };
      if (this.#translation.isUnfinished || code === UC_ERR_EXCEPTION) {
        if (begun < allowed) continue;
        this.#translation.abandon();
        return { end: 'limit', counts };
      }
      return { end: code === UC_ERR_OK ? 'halt' : 'bus-error', counts };
    }
  }

  /** Physical pages that hold translated code. */
  get codePages(): Set<number> {
    return this.#translation.codePages;
  }
  /** Those of them that have been translated since the last snapshot or restore; cleared by who takes or restores one. */
  get recentCodePages(): Set<number> {
    return this.#translation.recentCodePages;
  }

  /** Instructions of the present run that were begun before the one that is executing. */
  get retired(): number {
    const counts = this.#countedBefore + this.#counter.begun - (this.#stops.isBeforeCount ? 0 : 1);
    return this.#counter.instructions(counts);
  }

  /** Of the instruction that executes as CPUID: the second byte of its opcode, if it is known to be RDTSC, RDMSR or RDPMC without a prefix. */
  readingAt(rip: bigint): number | undefined {
    return this.#translation.readingAt(rip);
  }

  /** From within a hook: the run ends when the instruction that is executing has finished. */
  curtail(): void {
    this.#counter.allowed = this.#counter.begun;
  }

  /**
   * From within a hook: counts an event that came before any instruction could begin.
   * @returns false when the limit is reached; the run then ends here.
   */
  countEvent(): boolean {
    const counter = this.#counter;
    counter.begun++;
    if (counter.begun <= counter.allowed) return true;
    this.#ffi.stop(this.#uc);
    return false;
  }

  /** Throws what a hook has thrown. */
  #rethrow(): void {
    const failure = this.#hooks.takeFailure();
    if (failure === undefined) return;
    this.#translation.abandon();
    throw failure;
  }

  /** Sets a model-specific register that the engine itself uses (EFER, STAR, FS/GS/KERNEL_GS base). */
  writeMsr(state: CpuState, msr: number, value: bigint): void {
    this.load(state);
    this.#scratch.writeUInt32LE(msr >>> 0, 0);
    this.#scratch.writeBigUInt64LE(value, 8);
    this.#ffi.regWrite(this.#uc, REG.MSR, this.#scratch);
  }

  /** The engine's own value of a model-specific register. */
  readMsr(state: CpuState, msr: number): bigint {
    this.load(state);
    this.#scratch.writeUInt32LE(msr >>> 0, 0);
    this.#scratch.writeBigUInt64LE(0n, 8);
    this.#ffi.regRead(this.#uc, REG.MSR, this.#scratch);
    return this.#scratch.readBigUInt64LE(8);
  }

  /** Puts a device on the physical bus. */
  mapMmio(address: number, size: number, window: MmioWindow): void {
    const read = this.#hooks.callback('mmioRead', (_uc: number, offset: bigint | number, bytes: number) => {
      this.#counter.hostCall();
      return this.#hooks.guard(() => window.read(Number(offset), bytes), 0);
    });
    const write = this.#hooks.callback(
      'mmioWrite',
      (_uc: number, offset: bigint | number, bytes: number, value: bigint | number) =>
        this.#hooks.guard(() => window.write(Number(offset), bytes, Number(unsigned(value))), undefined),
    );
    const f = this.#ffi;
    f.check(f.mmioMap(this.#uc, BigInt(address), BigInt(size), read, null, write, null), 'uc_mmio_map');
  }

  /** Has the client asked before the instruction at an address. Code already translated is forgotten. */
  addBreakpoint(address: bigint): void {
    if (this.#stops.add(address)) this.flushCode();
  }
  removeBreakpoint(address: bigint): void {
    if (this.#stops.remove(address)) this.flushCode();
  }
  /** Whether the client is asked before each block in the lower half of the address space. Slow where it runs for long. */
  watchUserCode(watched: boolean): void {
    if (this.#stops.watchUserCode(watched)) this.flushCode();
  }

  /**
   * The client hears of accesses of one kind to a range of physical addresses, by which the engine has its hooks. Each access of the guest
   * takes the engine's slow way as long as there is one; code already translated is forgotten.
   * @returns what ends it
   */
  watchMemory(kind: MemoryAccess['kind'], address: number, length: number): () => void {
    const from = Math.max(address - LONGEST_ACCESS + 1, 0);
    const hook = this.#hooks.add(
      ACCESS_HOOK[kind],
      this.#memoryCallback,
      BigInt(from),
      BigInt(address + length - 1),
    );
    this.flushCode();
    return () => {
      this.#hooks.remove(hook);
      this.flushCode();
    };
  }

  /** The page tables have been changed from outside. */
  flushTlb(): void {
    this.#ffi.flushTlb(this.#uc);
  }

  /** Forgets all translated code; it has been changed from outside. Not to be called from within a run. */
  flushCode(): void {
    if (this.#translation.codePages.size === 0) {
      this.flushTlb(); // nothing has been translated, and the first flush costs more than a small guest's run
      return;
    }
    const loaded = this.#loaded;
    if (loaded !== undefined) this.#save(loaded);
    this.#ffi.flushCode(this.#uc);
    this.#prime();
    if (loaded !== undefined) this.#restore(loaded);
    this.#ffi.flushTlb(this.#uc);
    this.#translation.clear();
  }

  /** Frees the engine; nothing may be called afterwards. */
  close(): void {
    for (const context of this.#contexts) this.#ffi.contextFree(context);
    this.#ffi.close(this.#uc);
    this.#hooks.release();
  }
}

/** Whether translations cached by the engine's TLB for one CPU are right for the other. */
function sameAddressSpace(a: CpuState, b: CpuState): boolean {
  return a.cr(3) === b.cr(3) && a.cr(0) === b.cr(0) && a.cr(4) === b.cr(4) && a.efer === b.efer;
}
