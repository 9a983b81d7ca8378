/**
 * The instructions that trap at translation (engine/translation-traps.ts), found again at RIP and carried out: RDMSR, WRMSR,
 * RDTSC, RDPMC, MOV to and from CR8 and debug registers (SDM 2B). SYSENTER and SYSEXIT trap too, and are #UD: CPUID does not offer them.
 */

import { type CpuState, GPR } from '../engine/cpu-state.js';
import { VECTOR } from './architecture.js';
import type { DebugRegisters, Refusal } from './debug-registers.js';

/** What the instructions reach into. */
export interface TrappedHost {
  readonly state: CpuState;
  /** The time-stamp counter. */
  readonly timestamp: bigint;
  readonly debug: DebugRegisters;
  /** The local APIC's task priority, of which CR8 is the upper half. */
  readonly apic: { taskPriority: number };
  /** `undefined` or false is #GP(0). */
  readMsr(msr: number): bigint | undefined;
  writeMsr(msr: number, value: bigint): boolean;
  /** A performance counter; `undefined` where there is none. */
  readCounter(index: number): bigint | undefined;
}

/** An instruction at RIP. */
export interface Trapped {
  readonly length: number;
  /** Carries it out. @returns what it raises instead; #GP has the error code 0 */
  execute(host: TrappedHost): Refusal | undefined;
}

/** No instruction is longer (SDM 2A, "Instruction Format", 2.3.11). */
export const LONGEST_INSTRUCTION = 15;
/** Operand size, address size, segments, REP: none changes what these instructions do. LOCK is #UD. */
const IDLE_PREFIXES: readonly number[] = [0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf2, 0xf3];
const LOCK = 0xf0;
const REX = { mask: 0xf0, prefix: 0x40, R: 4, B: 1 } as const;
const ESCAPE = 0x0f;

const CR4_TSD = 1n << 2n;
const CR4_DE = 1n << 3n;
const CR4_PCE = 1n << 8n;

const low = (value: bigint): bigint => BigInt.asUintN(32, value);

function setEdxEax(state: CpuState, value: bigint): void {
  state.setReg(GPR.rax, low(value));
  state.setReg(GPR.rdx, low(value >> 32n));
}
const ecx = (state: CpuState): number => Number(low(state.reg(GPR.rcx)));

/** The operands of MOV to and from a control or debug register: ModRM, whose mod field counts for nothing, with REX. */
interface Operands {
  readonly special: number;
  readonly general: number;
  readonly is64: boolean;
}

/** MOV of a debug register, done by `move`. There is no DR8 to DR15; outside of ring 0 all is refused. */
const debugMove =
  (move: (host: TrappedHost, operands: Operands, extensions: boolean) => Refusal | undefined) =>
  (host: TrappedHost, operands: Operands): Refusal | undefined => {
    if (operands.special > 7) return VECTOR.UD;
    if (host.state.cpl !== 0) return VECTOR.GP;
    return move(host, operands, (host.state.cr(4) & CR4_DE) !== 0n);
  };

/** MOV of CR8, done by `move` (SDM 3A, "Task Priority in IA-32e Mode", 11.8.6). The other control registers are the engine's. */
const priorityMove =
  (move: (host: TrappedHost, general: number) => Refusal | undefined) =>
  (host: TrappedHost, { special, general }: Operands): Refusal | undefined => {
    if (special !== 8) return VECTOR.UD;
    return host.state.cpl === 0 ? move(host, general) : VECTOR.GP;
  };

const NO_OPERANDS: Operands = { special: 0, general: 0, is64: true };

interface Opcode {
  readonly hasModRm?: true;
  execute(host: TrappedHost, operands: Operands): Refusal | undefined;
}

/** By the byte behind 0F. */
const OPCODES: Readonly<Record<number, Opcode>> = {
  /** MOV from CR8 */
  32: {
    hasModRm: true,
    execute: priorityMove(({ state, apic }, general) => {
      state.setReg(general, BigInt(apic.taskPriority >> 4));
      return undefined;
    }),
  },
  /** MOV to CR8; its upper bits are reserved. */
  34: {
    hasModRm: true,
    execute: priorityMove(({ state, apic }, general) => {
      const value = state.reg(general);
      if (value > 0xfn) return VECTOR.GP;
      apic.taskPriority = Number(value) << 4;
      return undefined;
    }),
  },
  /** MOV from a debug register */
  33: {
    hasModRm: true,
    execute: debugMove(({ state, debug }, operands, extensions) => {
      const value = debug.read(operands.special, extensions);
      if (typeof value === 'number') return value;
      state.setReg(operands.general, operands.is64 ? value : low(value));
      return undefined;
    }),
  },
  /** MOV to a debug register */
  35: {
    hasModRm: true,
    execute: debugMove(({ state, debug }, operands, extensions) => {
      const value = state.reg(operands.general);
      return debug.write(operands.special, extensions, operands.is64 ? value : low(value));
    }),
  },
  /** WRMSR */
  48: {
    execute: (host) => {
      const { state } = host;
      const value = (low(state.reg(GPR.rdx)) << 32n) | low(state.reg(GPR.rax));
      return state.cpl === 0 && host.writeMsr(ecx(state), value) ? undefined : VECTOR.GP;
    },
  },
  /** RDTSC; CR4.TSD keeps it for ring 0. */
  49: {
    execute: ({ state, timestamp }) => {
      if (state.cpl !== 0 && (state.cr(4) & CR4_TSD) !== 0n) return VECTOR.GP;
      setEdxEax(state, timestamp);
      return undefined;
    },
  },
  /** RDMSR */
  50: {
    execute: (host) => {
      const { state } = host;
      const value = state.cpl === 0 ? host.readMsr(ecx(state)) : undefined;
      if (value === undefined) return VECTOR.GP;
      setEdxEax(state, value);
      return undefined;
    },
  },
  /** RDPMC; CR4.PCE opens it to all. */
  51: {
    execute: (host) => {
      const { state } = host;
      if (state.cpl !== 0 && (state.cr(4) & CR4_PCE) === 0n) return VECTOR.GP;
      const counter = host.readCounter(ecx(state));
      if (counter === undefined) return VECTOR.GP;
      setEdxEax(state, counter);
      return undefined;
    },
  },
};

/** Whether LOCK is among the prefixes: neither these instructions nor CPUID take it (SDM 2A, "LOCK"). */
export function hasLock(code: Uint8Array): boolean {
  let at = 0;
  while (IDLE_PREFIXES.includes(code[at]!)) at++;
  return code[at] === LOCK;
}

/** RDTSC, RDMSR or RDPMC by the second byte of its opcode. @returns what it raises instead */
export const executeReading = (second: number, host: TrappedHost): Refusal | undefined =>
  OPCODES[second]!.execute(host, NO_OPERANDS);

/** The trapped instruction that `code` begins with; `undefined` when it is another. */
export function decodeTrapped(code: Uint8Array, in64BitMode: boolean): Trapped | undefined {
  let at = 0;
  while (IDLE_PREFIXES.includes(code[at]!)) at++;
  const hasRex = in64BitMode && (code[at]! & REX.mask) === REX.prefix;
  const rex = hasRex ? code[at++]! : 0;
  const opcode = code[at] === ESCAPE ? OPCODES[code[at + 1]!] : undefined;
  const length = at + (opcode?.hasModRm ? 3 : 2);
  if (opcode === undefined || length > code.length) return undefined;
  const modRm = code[length - 1]!;
  const operands = {
    special: ((modRm >> 3) & 7) | (rex & REX.R ? 8 : 0),
    general: (modRm & 7) | (rex & REX.B ? 8 : 0),
    is64: in64BitMode,
  };
  return { length, execute: (host) => opcode.execute(host, operands) };
}
