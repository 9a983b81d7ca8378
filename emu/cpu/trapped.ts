/**
 * The instructions that trap at translation (engine/translation-traps.ts), found again at RIP and carried out: RDMSR, WRMSR
 * (SDM 2B), RDTSC, RDPMC.
 */
import { type CpuState, GPR } from '../engine/cpu-state.js';

/** What the instructions reach into. */
export interface TrappedHost {
  readonly state: CpuState;
  /** The time-stamp counter, and performance counter 0. */
  readonly timestamp: bigint;
  readonly counter: bigint;
  /** `undefined` or false is #GP(0). */
  readMsr(msr: number): bigint | undefined;
  writeMsr(msr: number, value: bigint): boolean;
}

/** An instruction at RIP. */
export interface Trapped {
  readonly length: number;
  /** Carries it out; false is #GP(0). */
  execute(host: TrappedHost): boolean;
}

/** No instruction is longer (SDM 2A, "Instruction Format", 2.3.11). */
export const LONGEST_INSTRUCTION = 15;
/** Operand size, address size, segments, REP: none changes what these instructions do. LOCK is #UD. */
const IDLE_PREFIXES: readonly number[] = [0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf2, 0xf3];
const REX = { mask: 0xf0, prefix: 0x40 } as const;
const ESCAPE = 0x0f;

const CR4_TSD = 1n << 2n;
const CR4_PCE = 1n << 8n;

const low = (value: bigint): bigint => BigInt.asUintN(32, value);

function setEdxEax(state: CpuState, value: bigint): void {
  state.setReg(GPR.rax, low(value));
  state.setReg(GPR.rdx, low(value >> 32n));
}
const ecx = (state: CpuState): number => Number(low(state.reg(GPR.rcx)));

/** By the byte behind 0F. */
const OPCODES: Readonly<Record<number, Trapped['execute']>> = {
  /** WRMSR */
  48: (host) => {
    const { state } = host;
    const value = (low(state.reg(GPR.rdx)) << 32n) | low(state.reg(GPR.rax));
    return state.cpl === 0 && host.writeMsr(ecx(state), value);
  },
  /** RDTSC; CR4.TSD keeps it for ring 0. */
  49: ({ state, timestamp }) => {
    if (state.cpl !== 0 && (state.cr(4) & CR4_TSD) !== 0n) return false;
    setEdxEax(state, timestamp);
    return true;
  },
  /** RDMSR */
  50: (host) => {
    const { state } = host;
    const value = state.cpl === 0 ? host.readMsr(ecx(state)) : undefined;
    if (value === undefined) return false;
    setEdxEax(state, value);
    return true;
  },
  /** RDPMC; CR4.PCE opens it to all. There is counter 0 only. */
  51: ({ state, counter }) => {
    if (state.cpl !== 0 && (state.cr(4) & CR4_PCE) === 0n) return false;
    if (ecx(state) !== 0) return false;
    setEdxEax(state, counter);
    return true;
  },
};

/** The trapped instruction that `code` begins with; `undefined` when it is another. */
export function decodeTrapped(code: Uint8Array, in64BitMode: boolean): Trapped | undefined {
  let at = 0;
  while (IDLE_PREFIXES.includes(code[at]!)) at++;
  if (in64BitMode && (code[at]! & REX.mask) === REX.prefix) at++;
  const execute = code[at] === ESCAPE ? OPCODES[code[at + 1]!] : undefined;
  const length = at + 2;
  return execute === undefined || length > LONGEST_INSTRUCTION ? undefined : { length, execute };
}
