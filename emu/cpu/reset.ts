/** The states a CPU starts in: as a PVH loader leaves it, and after a start-up IPI. */
import { type CpuState, GPR, GPR_NAMES, type SegmentName } from '../engine/cpu-state.js';
import { HFLAG } from '../engine/layout.js';
import { RFLAGS } from './architecture.js';

const CR0_PE = 0x01n;
const CR0_ET = 0x10n;

/** Hidden parts of flat 32-bit segments and of real-mode ones (SDM 3A, "Segment Descriptors", 3.4.5). */
const FLAT_CODE_32 = 0x00cf_9b00;
const FLAT_DATA_32 = 0x00cf_9300;
const REAL_CODE = 0x0000_9b00;
const REAL_DATA = 0x0000_9300;

const DATA_SEGMENTS: readonly SegmentName[] = ['es', 'ss', 'ds', 'fs', 'gs'];
const MODE_BITS =
  HFLAG.CPL | HFLAG.INHIBIT_IRQ | HFLAG.CS32 | HFLAG.SS32 | HFLAG.ADDSEG | HFLAG.PE | HFLAG.LMA | HFLAG.CS64;

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

/**
 * 32-bit protected mode, paging off, flat segments, interrupts off, EBX = start info (Xen's PVH boot protocol,
 * docs/misc/pvh). The IDT is empty: an exception before the guest sets one up is a shutdown.
 */
export function enterProtectedMode(state: CpuState, entry: number, startInfo: number): void {
  clear(state, CR0_PE | CR0_ET);
  state.setTable('idt', { base: 0n, limit: 0 });
  state.setSegment('cs', { selector: 0x08, base: 0n, limit: 0xffff_ffff, flags: FLAT_CODE_32 });
  for (const name of DATA_SEGMENTS) {
    state.setSegment(name, { selector: 0x10, base: 0n, limit: 0xffff_ffff, flags: FLAT_DATA_32 });
  }
  state.hflags = (state.hflags & ~MODE_BITS) | HFLAG.PE | HFLAG.CS32 | HFLAG.SS32;
  state.setReg(GPR.rbx, BigInt(startInfo));
  state.rip = BigInt(entry);
}

/** Real mode at vector * 4 KiB (SDM 3A, "Typical MP Initialization", 9.4.4: CS = VV00H, IP = 0). */
export function enterRealMode(state: CpuState, vector: number): void {
  clear(state, CR0_ET);
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
