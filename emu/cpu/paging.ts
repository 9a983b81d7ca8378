/** The paging that a CPU's registers choose now. */
import type { CpuState } from '../engine/cpu-state.js';
import { type Paging, pagingOf } from '../memory/page-walk.js';

interface Registers {
  readonly cr0: bigint;
  readonly cr3: bigint;
  readonly cr4: bigint;
  readonly efer: bigint;
}
/** What was asked for last, which is what is asked for next but for a change of address space. */
let last: { readonly registers: Registers; readonly paging: Paging } | undefined;

export function pagingOfState(state: CpuState): Paging {
  const registers = { cr0: state.cr(0), cr3: state.cr(3), cr4: state.cr(4), efer: state.efer };
  if (last === undefined || !areEqual(last.registers, registers))
    last = { registers, paging: pagingOf(registers) };
  return last.paging;
}

const areEqual = (a: Registers, b: Registers): boolean =>
  a.cr3 === b.cr3 && a.cr0 === b.cr0 && a.cr4 === b.cr4 && a.efer === b.efer;
