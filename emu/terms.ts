/** What a machine is made of, what is given to it and asked of it, and how a run ends. */
import type { FormatName } from './boot/formats.js';
import type { BootFile, BootModule } from './boot/plan.js';
import type { SymbolTable } from './boot/symbols.js';
import type { Vcpu } from './cpu/vcpu.js';
import type { DeviceSwitches } from './devices/optional.js';
import type { PowerEvent } from './devices/power.js';
import type { MemoryAccess } from './engine/client.js';
import type { EventKind, MachineEvent } from './events.js';
import type { PhysAddr } from './memory/address.js';

export const MAX_CPUS = 8;
export const DEFAULT_RAM = 64 << 20;
export const MIN_RAM = 2 << 20;
export const MAX_RAM = 2 ** 31;
/** Instructions of a turn. Shorter ones interleave CPUs more finely and cost about 2 µs each. */
export const DEFAULT_TURN = 2000;
export const MAX_TURN = 1_000_000_000;
export const DEFAULT_BUDGET = 10_000_000_000;

/** What stands around the CPUs: a serial port and the ways to power off, or all that a PC has (`docs/devices.md`). */
export const MACHINE_KINDS = ['microvm', 'pc'] as const;
export type MachineKind = (typeof MACHINE_KINDS)[number];
export const DEFAULT_KIND: MachineKind = 'microvm';

export interface MachineOptions {
  /** Default: microvm. */
  readonly kind?: MachineKind;
  /** Devices that are to be there or not, such as `{ hpet: false }`; default: those that the kind of machine has by itself. */
  readonly devices?: DeviceSwitches;
  /** 1 to 8; default 1. */
  readonly cpus?: number;
  /** Bytes of RAM, a multiple of 4 KiB; default 64 MiB. */
  readonly ram?: number;
  /** Instructions per turn, at most 10^9; default 2000. */
  readonly turn?: number;
  /**
   * Time goes by blocks of code, 4 ns each, and not by instructions: many times faster, and nothing happens at an exact instruction.
   * Default: false.
   */
  readonly freeRunning?: boolean;
  /** Receives each byte that the guest sends on its first serial port. */
  readonly console?: (byte: number) => void;
}

export interface LoadOptions {
  /** The image's name, which multiboot kernels find before their command line; default `kernel`. */
  readonly name?: string;
  readonly commandLine?: string;
  readonly initrd?: BootFile;
  /** Files beside the kernel, where its format has such. */
  readonly modules?: readonly BootModule[];
  /** The boot protocol; default: the image's own. */
  readonly format?: FormatName;
  /** Finds the names of an image that has no symbol table. Called once, when a name is first asked for. */
  readonly symbols?: () => SymbolTable;
}

/** Why a run ended. */
export type Outcome =
  | PowerEvent
  /** The instruction budget is spent. */
  | { readonly kind: 'budget' }
  /** A CPU met an exception that no handler could take, three times over. */
  | { readonly kind: 'triple-fault'; readonly cpu: number; readonly rip: bigint; readonly vector: number }
  /** Every CPU is halted and nothing will wake one. */
  | { readonly kind: 'hang' }
  /** A CPU fetched or touched physical memory that is not there. */
  | { readonly kind: 'bus-error'; readonly cpu: number; readonly rip: bigint }
  /** What `until` asked for has been reached; at a breakpoint the instruction has not executed yet. */
  | { readonly kind: 'reached'; readonly cpu: number; readonly rip: bigint }
  /** `stop` was called. */
  | { readonly kind: 'stopped' };

export type Until =
  | { readonly symbol: string }
  | { readonly address: bigint }
  | { readonly event: EventKind; readonly where?: (event: MachineEvent) => boolean };

export interface RunOptions {
  readonly until?: Until;
  /** Instructions; default 10^10. */
  readonly budget?: number;
  /** Hears for how many nanoseconds all CPUs have slept; true ends the run as `stopped`. */
  readonly asleep?: (nanoseconds: number) => boolean;
}

/** What is given to a CPU from outside at its present instruction boundary. */
export type Injection = { readonly nmi: true } | { readonly vector: number };

/** At a breakpoint: true ends the run before the instruction executes. */
export type BreakpointHandler = (cpu: Vcpu) => boolean;

/** Hears of a memory access while its instruction executes; true ends the run behind that instruction. */
export type AccessHandler = (cpu: Vcpu, access: MemoryAccess) => boolean;

/** A range of physical addresses. */
export interface Watched {
  readonly kind: MemoryAccess['kind'];
  readonly address: PhysAddr;
  /** Bytes. */
  readonly length: number;
}
