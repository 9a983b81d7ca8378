/** The registers that a litmus test can name: the sixteen general ones, whole or their lower half. */
import { GPR, type Gpr } from '../../emu/engine/cpu-state.js';

export interface Register {
  readonly gpr: number;
  /** 8 or 4 bytes. */
  readonly size: number;
}

/** `eax` of `rax`, `r8d` of `r8`. */
const lowerHalf = (name: Gpr): string => (/\d/.test(name) ? `${name}d` : name.replace('r', 'e'));

export const REGISTERS: ReadonlyMap<string, Register> = new Map(
  (Object.entries(GPR) as [Gpr, number][]).flatMap(([name, gpr]) => [
    [name as string, { gpr, size: 8 }],
    [lowerHalf(name), { gpr, size: 4 }],
  ]),
);
