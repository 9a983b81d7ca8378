/**
 * What CPUID answers: what the engine executes and the machine emulates, and nothing else (SDM 2A, "CPUID—CPU
 * Identification"). The engine's own answers differ between its versions, so none of them is passed on.
 */
import { ARCHITECTURAL_EVENTS, type CpuModel, type PerfModel } from './model.js';

export interface CpuidResult {
  readonly eax: number;
  readonly ebx: number;
  readonly ecx: number;
  readonly edx: number;
}

/** TSC and APIC timer count retired instructions; the machine calls one a nanosecond. */
export const CLOCK_HZ = 1_000_000_000;

const bits = (...positions: number[]): number => positions.reduce((word, bit) => word | (1 << bit), 0) >>> 0;
const text = (word: string): number => Buffer.from(word).readUInt32LE(0);

const LEAF_1_EDX = bits(
  0, // FPU
  2, // DE
  3, // PSE
  4, // TSC
  5, // MSR
  6, // PAE
  8, // CX8
  9, // APIC
  13, // PGE
  15, // CMOV
  16, // PAT
  19, // CLFSH
  23, // MMX
  24, // FXSR
  25, // SSE
  26, // SSE2
);
const LEAF_1_ECX = bits(
  0, // SSE3
  13, // CMPXCHG16B
  31, // running under a hypervisor
);
const EXTENDED_ECX = bits(0 /* LAHF in 64-bit mode */);
const EXTENDED_EDX = bits(
  11, // SYSCALL
  20, // NX
  29, // long mode
);
const FAMILY_MODEL_STEPPING = 0x0006_0f01;
const APIC_ID_SHIFT = 24;
const CLFLUSH_QUADWORDS = 8 << 8;
/** More of leaves 1 and 7 on a PC. */
const PC_LEAF_1_EDX = bits(
  7, // MCE
  12, // MTRR
  14, // MCA
);
const PC_LEAF_1_ECX = bits(
  15, // PDCM: IA32_PERF_CAPABILITIES
  21, // x2APIC
  24, // TSC-deadline mode of the APIC's timer
);
const PC_LEAF_7_EBX = bits(
  1, // IA32_TSC_ADJUST
);
const PC_LEAF_7_EDX = bits(
  29, // IA32_ARCH_CAPABILITIES
);
const PERFMON_VERSION = 2;

const LEAF_1_EDX_APIC = bits(9);
const LEAF_1_EDX_HTT = bits(28);
function leaf1Edx({ count, model, hasApic }: CpuidSubject): number {
  const edx = hasApic ? LEAF_1_EDX : LEAF_1_EDX & ~LEAF_1_EDX_APIC;
  return (edx | (model.isPc ? PC_LEAF_1_EDX : 0) | (count > 1 ? LEAF_1_EDX_HTT : 0)) >>> 0;
}

/** Leaf 0xA: counters, their width, and a flag for each event that is *not* there; fixed counters and their width. */
function perfmon({ counters, fixedCounters, width, events }: PerfModel): Omit<CpuidResult, 'ecx'> {
  const missing = ARCHITECTURAL_EVENTS.map((event, bit) => (events.includes(event) ? 0 : 1 << bit));
  return {
    eax: PERFMON_VERSION | (counters << 8) | (width << 16) | (ARCHITECTURAL_EVENTS.length << 24),
    ebx: missing.reduce((flags, flag) => flags | flag),
    edx: fixedCounters > 0 ? fixedCounters | (width << 5) : 0,
  };
}

/**
 * Leaf 0xB: by level how far an x2APIC id is to be shifted for the next level's, and how many CPUs the level has. One thread is a core,
 * and all cores are one package.
 */
function topology(level: number, id: number, count: number): CpuidResult {
  const shift = Math.ceil(Math.log2(count));
  const rows = [
    { type: 1, eax: 0, ebx: 1 },
    { type: 2, eax: shift, ebx: count },
  ] as const;
  const { type, eax, ebx } = rows[level] ?? { type: 0, eax: 0, ebx: 0 };
  return { eax, ebx, ecx: (level & 0xff) | (type << 8), edx: id };
}

/** Of which CPU CPUID tells. */
export interface CpuidSubject {
  readonly index: number;
  /** CPUs of the machine. */
  readonly count: number;
  readonly model: CpuModel;
  /** IA32_APIC_BASE has not switched its local APIC off. */
  readonly hasApic: boolean;
}

/** The answer for one CPU. Leaves that are not there answer zeros. */
export function cpuid(leaf: number, subleaf: number, subject: CpuidSubject): CpuidResult {
  const { index, count, model } = subject;
  const zeros = { eax: 0, ebx: 0, ecx: 0, edx: 0 };
  switch (leaf >>> 0) {
    case 0:
      return { eax: 0x16, ebx: text('Genu'), edx: text('ineI'), ecx: text('ntel') };
    case 1:
      return {
        eax: FAMILY_MODEL_STEPPING,
        ebx: ((index << APIC_ID_SHIFT) | (count << 16) | CLFLUSH_QUADWORDS) >>> 0,
        ecx: (LEAF_1_ECX | (model.isPc ? PC_LEAF_1_ECX : 0)) >>> 0,
        edx: leaf1Edx(subject),
      };
    case 7:
      return model.isPc && subleaf === 0 ? { ...zeros, ebx: PC_LEAF_7_EBX, edx: PC_LEAF_7_EDX } : zeros;
    case 0xa:
      return { ...zeros, ...perfmon(model.perf) };
    case 0xb:
      return model.isPc ? topology(subleaf, index, count) : zeros;
    case 0x15: // TSC frequency = crystal * ebx / eax
      return { eax: 1, ebx: 1, ecx: CLOCK_HZ, edx: 0 };
    case 0x16:
      return { ...zeros, eax: CLOCK_HZ / 1_000_000, ebx: CLOCK_HZ / 1_000_000 };
    case 0x4000_0000:
      return { eax: 0x4000_0000, ebx: text('unwi'), ecx: text('ndla'), edx: text('b\0\0\0') };
    case 0x8000_0000:
      return { ...zeros, eax: 0x8000_0008 };
    case 0x8000_0001:
      return { ...zeros, ecx: EXTENDED_ECX, edx: EXTENDED_EDX };
    case 0x8000_0002:
    case 0x8000_0003:
    case 0x8000_0004: {
      const brand = Buffer.alloc(48);
      brand.write('unwindlab virtual CPU @ 1.00GHz');
      const at = ((leaf >>> 0) - 0x8000_0002) * 16;
      const word = (index: number): number => brand.readUInt32LE(at + 4 * index);
      return { eax: word(0), ebx: word(1), ecx: word(2), edx: word(3) };
    }
    case 0x8000_0007: // invariant TSC
      return { ...zeros, edx: bits(8) };
    case 0x8000_0008: // 40 physical, 48 linear address bits
      return { ...zeros, eax: 40 | (48 << 8) };
    default:
      return zeros;
  }
}
