/** What the engine tells of a block that it has translated: a `struct uc_tb` on its stack (unicorn/unicorn.h). */
import { viewMemory } from './ffi.js';
import type { Block } from './translation-traps.js';

/** u64 pc, u16 instructions, u16 size. */
const UC_TB = { pc: 0, instructions: 8, size: 10, length: 16 } as const;
/** Bytes of the stack that are looked at, half of them below. */
const SEEN = 1 << 20;

/** Reads what pointers into this thread's stack point at; a view of the stack around it is made once, since each costs a microsecond. */
export class BlockReports {
  #from = Number.NaN;
  #view = new DataView(new ArrayBuffer(0));

  read(pointer: number): Block {
    let at = pointer - this.#from;
    if (!(at >= 0 && at <= SEEN - UC_TB.length)) {
      at = SEEN / 2;
      this.#from = pointer - at;
      this.#view = new DataView(viewMemory(BigInt(this.#from), SEEN));
    }
    const view = this.#view;
    return {
      pc: view.getBigUint64(at + UC_TB.pc, true),
      instructions: view.getUint16(at + UC_TB.instructions, true),
      size: view.getUint16(at + UC_TB.size, true),
    };
  }
}
