/**
 * DR0 to DR3, DR6 and DR7 (SDM 3B, "Debug Registers", 18.2): what is written is read back, and DR6 tells the cause of a #DB. Breakpoints
 * in them never match: the engine's own take the process down when one is hit, so the engine never sees these registers.
 */
import { VECTOR } from './architecture.js';

export type DebugState = readonly bigint[];

const DR6 = { fixed: 0xffff_0ff0n, free: 0xe00fn, BD: 1n << 13n, BS: 1n << 14n } as const;
const DR7 = { fixed: 0x400n, free: 0xffff_23ffn, GD: 1n << 13n } as const;
const HIGH_HALF = 0xffff_ffff_0000_0000n;
const RESET: DebugState = [0n, 0n, 0n, 0n, 0n, 0n, DR6.fixed, DR7.fixed];

/** What MOV to or from a debug register raises; #GP has the error code 0. */
export type Refusal = typeof VECTOR.DB | typeof VECTOR.GP | typeof VECTOR.UD;

export class DebugRegisters {
  #values = [...RESET];

  /** Power-up, reset and INIT (SDM 3A, table 9-1). */
  reset(): void {
    this.#values = [...RESET];
  }

  /** MOV from DR `number`: gives the value, or what it raises. `extensions` is CR4.DE, without which 4 and 5 mean 6 and 7. */
  read(number: number, extensions: boolean): bigint | Refusal {
    return this.#refusal(number, extensions) ?? this.#values[number | (number & 4 ? 2 : 0)]!;
  }

  /** MOV to DR `number`. @returns what it raises */
  write(number: number, extensions: boolean, value: bigint): Refusal | undefined {
    const refusal = this.#refusal(number, extensions);
    if (refusal !== undefined) return refusal;
    if (number >= 4 && (value & HIGH_HALF) !== 0n) return VECTOR.GP;
    if (number < 4) this.#values[number] = value;
    else if (number % 2 === 0) this.#values[6] = (value & DR6.free) | DR6.fixed;
    else this.#values[7] = (value & DR7.free) | DR7.fixed;
    return undefined;
  }

  /** A #DB behind an instruction that ran with TF set. */
  singleStepped(): void {
    this.#values[6]! |= DR6.BS;
  }

  #refusal(number: number, extensions: boolean): Refusal | undefined {
    if ((number === 4 || number === 5) && extensions) return VECTOR.UD;
    if ((this.#values[7]! & DR7.GD) === 0n) return undefined;
    this.#values[7]! &= ~DR7.GD; // so that the handler may use them
    this.#values[6]! |= DR6.BD;
    return VECTOR.DB;
  }

  capture(): DebugState {
    return [...this.#values];
  }
  reinstate(state: DebugState): void {
    this.#values = [...state];
  }
}
