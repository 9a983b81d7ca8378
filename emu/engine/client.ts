/** What passes between the engine and who owns it. */

/** What the guest does that the engine cannot; all are called in the middle of a run, with the CPU's state readable and writable. */
export interface EngineClient {
  /** An exception, or INT n (then RIP is behind it), has been raised. */
  exception(vector: number): void;
  /** #UD, or one of the instructions that `TranslationTraps` names; RIP is at it. */
  invalidInstruction(): void;
  /** SYSCALL; RIP is at it. */
  syscall(): void;
  cpuid(): void;
  portIn(port: number, size: number): number;
  portOut(port: number, size: number, value: number): void;
  /** An instruction with a breakpoint is about to execute. True ends the run before it. */
  breakpoint(address: bigint): boolean;
  /** An instruction in the lower half of the address space comes next, where that is watched; true ends the run before it. */
  userCode(): boolean;
  /** The instruction that is executing reads or writes memory in a range that is watched, or close before it. */
  accessed(access: MemoryAccess): void;
  /** Physical address of a code byte by the page tables now in use, or -1. */
  codeAddress(address: bigint): number;
}

export interface MemoryAccess {
  readonly kind: 'read' | 'write';
  /** Physical, of the first byte. */
  readonly address: number;
  /** Bytes. */
  readonly size: number;
}

/** A device's registers on the physical bus. Offsets are from the start of its window; sizes are 1, 2, 4 or 8. */
export interface MmioWindow {
  read(offset: number, size: number): number;
  write(offset: number, size: number, value: number): void;
}

/**
 * Why a run ended: its limit (or `curtail`), HLT, a breakpoint, a fetch or an access that no memory answers, or, if guarded, before
 * an instruction that may let in what was held back.
 */
export type RunEnd = 'limit' | 'halt' | 'breakpoint' | 'bus-error' | 'guard';
