/** Exceptions, and the instructions for which the engine has hooks: they go to its client, in the middle of a run. */
import type { EngineClient } from './client.js';
import type { Counter } from './counter.js';
import type { CpuState } from './cpu-state.js';
import { HOOK, INSN } from './ffi.js';
import type { Hooks } from './hooks.js';

const INVALID_OPCODE = 6;
const INT_N_LENGTH = 2n;
const SYSCALL_LENGTH = 2;

export interface InstructionHost {
  readonly hooks: Hooks;
  readonly counter: Counter;
  readonly client: EngineClient;
  /** Of the CPU that runs. */
  state(): CpuState;
  /** Instructions of the present run that were begun before the one that is executing. */
  retired(): number;
  /** An exception has been delivered, where `INTR` tells of it. */
  excepted(): void;
}

/** To be called once for an engine. */
export function hookInstructions({
  hooks,
  counter,
  client,
  state,
  retired,
  excepted,
}: InstructionHost): void {
  // 2.1.1 calls the INTR hook for vector 6 right after the INSN_INVALID hook has dealt with it; 2.1.4 does not.
  let invalidAt = -1;
  hooks.always(HOOK.INTR, 'intr', (_uc: number, vector: number) => {
    const dealtWith = vector === INVALID_OPCODE && invalidAt === retired();
    invalidAt = -1;
    if (!dealtWith) hooks.guard(() => client.exception(vector), undefined);
    excepted();
  });
  hooks.always(HOOK.INSN_INVALID, 'invalid', () => {
    invalidAt = retired();
    hooks.guard(() => {
      const cpu = state();
      if (cpu.softwareInterrupt) {
        cpu.rip = BigInt.asUintN(64, cpu.rip + INT_N_LENGTH); // for INT 6 alone the engine leaves RIP at the instruction
        client.exception(INVALID_OPCODE);
      } else client.invalidInstruction();
    }, undefined);
    return true;
  });
  hooks.always(
    HOOK.INSN,
    'syscall',
    () =>
      hooks.guard(() => {
        client.syscall();
        state().moveRip(-SYSCALL_LENGTH); // the engine adds it after the hook
      }, undefined),
    INSN.SYSCALL,
  );
  hooks.always(
    HOOK.INSN,
    'cpuid',
    () => {
      hooks.guard(() => client.cpuid(), undefined);
      counter.hostCall();
      return 1;
    },
    INSN.CPUID,
  );
  hooks.always(
    HOOK.INSN,
    'in',
    (_uc: number, port: number, size: number) => {
      counter.hostCall();
      return hooks.guard(() => client.portIn(port, size), 0xffff_ffff);
    },
    INSN.IN,
  );
  hooks.always(
    HOOK.INSN,
    'out',
    (_uc: number, port: number, size: number, value: number) =>
      hooks.guard(() => client.portOut(port, size, value), undefined),
    INSN.OUT,
  );
}
