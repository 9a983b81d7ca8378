/** The paging that a CPU's registers choose now. */
import type { CpuState } from '../engine/cpu-state.js';
import { type Paging, pagingOf } from '../memory/page-walk.js';

export const pagingOfState = (state: CpuState): Paging =>
  pagingOf({ cr0: state.cr(0), cr3: state.cr(3), cr4: state.cr(4), efer: state.efer });
