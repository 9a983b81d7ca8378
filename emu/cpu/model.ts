/** What the CPUs of a machine have, by its kind: CPUID announces it (`cpuid.ts`), and the registers behind it are there (`msr.ts`). */

/** Performance monitoring, as leaf 0xA of CPUID tells of it (SDM 3B, "Architectural Performance Monitoring", 20.2). */
export interface PerfModel {
  readonly counters: number;
  /** Counters of one event each: instructions, cycles, reference cycles, in this order (SDM 3B, table 20-2). */
  readonly fixedCounters: number;
  /** Bits of a counter. */
  readonly width: number;
  /**
   * What can be counted: unit mask and event number, in the order of their bits in EBX (SDM 3B, table 20-1). All of them count
   * instructions, for an instruction is a cycle here.
   */
  readonly events: readonly number[];
  /** IA32_PERF_CAPABILITIES is there, and says that IA32_A_PMCn take a counter's full width (SDM 3B, "Full-Width Writes to Performance Counter Registers"). */
  readonly fullWidth: boolean;
  /** Bits of IA32_PERFEVTSELn that cannot be set. */
  readonly reservedSelect: bigint;
  /** Bits of IA32_PERF_GLOBAL_OVF_CTRL that cannot be set. */
  readonly reservedAcknowledge: bigint;
}

/** What a local APIC can do beyond what all can. */
export interface ApicModel {
  /** IA32_APIC_BASE switches it off, and into x2APIC mode (SDM 3A, "Extended XAPIC (x2APIC)", 11.12). */
  readonly modes: boolean;
  /** Its timer has TSC-deadline mode (11.5.4.1). */
  readonly tscDeadline: boolean;
}

export interface CpuModel {
  readonly isPc: boolean;
  readonly apic: ApicModel;
  readonly perf: PerfModel;
}

const EVENT = { cycles: 0x003c, instructions: 0x00c0, referenceCycles: 0x013c } as const;
/** The architectural events in the order of their bits in EBX of leaf 0xA, as far as a machine has them. */
export const ARCHITECTURAL_EVENTS: readonly number[] = [
  EVENT.cycles,
  EVENT.instructions,
  EVENT.referenceCycles,
  0x4f2e, // references to the last-level cache
  0x412e, // misses of it
  0x00c4, // branches
  0x00c5, // mispredicted ones
];

const HIGH_HALF = 0xffff_ffff_0000_0000n;
const ANY_THREAD = 1n << 21n;
/** Overflow of the debug store's buffer, and "a change of state": never set, and cleared in vain. */
const OTHER_STATUS = 3n << 62n;

/** What kernels written for this machine know, and sweeps and their hashes: nothing is to be added here. */
const MICROVM: CpuModel = {
  isPc: false,
  apic: { modes: false, tscDeadline: false },
  perf: {
    counters: 1,
    fixedCounters: 0,
    width: 40,
    events: [EVENT.instructions],
    fullWidth: false,
    reservedSelect: HIGH_HALF,
    reservedAcknowledge: 0n,
  },
};

/** Enough of each for the drivers of other people's kernels; Linux takes no fewer than two counters, and that of 7.2 stumbles where none is fixed. */
const PC: CpuModel = {
  isPc: true,
  apic: { modes: true, tscDeadline: true },
  perf: {
    counters: 4,
    fixedCounters: 3,
    width: 48,
    events: [EVENT.cycles, EVENT.instructions, EVENT.referenceCycles],
    fullWidth: true,
    reservedSelect: HIGH_HALF | ANY_THREAD,
    reservedAcknowledge: ~(0x7_0000_000fn | OTHER_STATUS),
  },
};

export const CPU_MODELS = { microvm: MICROVM, pc: PC } as const;
