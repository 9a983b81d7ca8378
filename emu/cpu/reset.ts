/** The states a CPU starts in: as a boot loader leaves it, and after a start-up IPI. */
import {
  type CpuState,
  type DescriptorTable,
  GPR,
  GPR_NAMES,
  type Gpr,
  type SegmentName,
} from '../engine/cpu-state.js';
import { HFLAG } from '../engine/layout.js';
import { EFER, RFLAGS } from './architecture.js';

const CR0 = { PE: 0x01n, ET: 0x10n, PG: 0x8000_0000n } as const;
const CR4_PAE = 0x20n;

/** Hidden parts of flat segments and of real-mode ones (SDM 3A, "Segment Descriptors", 3.4.5). */
const FLAT_CODE_32 = 0x00cf_9b00;
const FLAT_CODE_64 = 0x00af_9b00;
const FLAT_DATA = 0x00cf_9300;
const REAL_CODE = 0x0000_9b00;
const REAL_DATA = 0x0000_9300;

const DATA_SEGMENTS: readonly SegmentName[] = ['es', 'ss', 'ds', 'fs', 'gs'];
const MODE_BITS =
  HFLAG.CPL | HFLAG.INHIBIT_IRQ | HFLAG.CS32 | HFLAG.SS32 | HFLAG.ADDSEG | HFLAG.PE | HFLAG.LMA | HFLAG.CS64;

/**
 * The state in which a boot loader enters a kernel: flat segments, interrupts off, registers that are not named zero. The
 * IDT is empty: an exception before the guest sets one up is a shutdown.
 */
export interface EntryState {
  readonly entry: number;
  readonly registers: Readonly<Partial<Record<Gpr, number>>>;
  readonly selectors: { readonly code: number; readonly data: number };
  readonly gdt: DescriptorTable;
  /** Physical address of the tables of 64-bit mode; `undefined`: 32-bit protected mode, paging off. */
  readonly pageTables?: number;
}

/** 32-bit protected mode with a GDT that the guest must not rely on, as PVH and multiboot have it. */
export const flatProtectedMode = (entry: number, registers: EntryState['registers']): EntryState => ({
  entry,
  registers,
  selectors: { code: 0x08, data: 0x10 },
  gdt: { base: 0n, limit: 0xffff },
});

function clear(state: CpuState, cr0: bigint): void {
  for (const name of GPR_NAMES) state.setReg(GPR[name], 0n);
  state.rflags = RFLAGS.reserved;
  state.setCr(0, cr0);
  state.setCr(2, 0n);
  state.setCr(3, 0n);
  state.setCr(4, 0n);
  state.efer = 0n;
  state.nmiBlocked = false;
  state.setTable('gdt', { base: 0n, limit: 0xffff });
  state.exceptionDelivered();
}

/** Puts a CPU at a kernel's entry. */
export function enterKernel(
  state: CpuState,
  { entry, registers, selectors, gdt, pageTables }: EntryState,
): void {
  const isLong = pageTables !== undefined;
  clear(state, CR0.PE | CR0.ET);
  state.setTable('gdt', gdt);
  state.setTable('idt', { base: 0n, limit: 0 });
  state.setFlatSegment('cs', selectors.code, isLong ? FLAT_CODE_64 : FLAT_CODE_32);
  for (const name of DATA_SEGMENTS) state.setFlatSegment(name, selectors.data, FLAT_DATA);
  const long = isLong ? HFLAG.LMA | HFLAG.CS64 : 0;
  state.hflags = (state.hflags & ~MODE_BITS) | HFLAG.PE | HFLAG.CS32 | HFLAG.SS32 | long;
  if (isLong) {
    state.setCr(0, CR0.PE | CR0.ET | CR0.PG);
    state.setCr(3, BigInt(pageTables));
    state.setCr(4, CR4_PAE);
    state.efer = EFER.LME | EFER.LMA;
  }
  for (const [name, value] of Object.entries(registers)) state.setReg(GPR[name as Gpr], BigInt(value));
  state.rip = BigInt(entry);
}

/** Real mode at vector * 4 KiB (SDM 3A, "Typical MP Initialization", 9.4.4: CS = VV00H, IP = 0). */
export function enterRealMode(state: CpuState, vector: number): void {
  clear(state, CR0.ET);
  state.setTable('idt', { base: 0n, limit: 0xffff });
  state.setSegment('cs', {
    selector: vector << 8,
    base: BigInt(vector << 12),
    limit: 0xffff,
    flags: REAL_CODE,
  });
  for (const name of DATA_SEGMENTS)
    state.setSegment(name, { selector: 0, base: 0n, limit: 0xffff, flags: REAL_DATA });
  state.hflags = (state.hflags & ~MODE_BITS) | HFLAG.ADDSEG;
  state.rip = 0n;
}
