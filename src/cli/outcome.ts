/** How the end of a run becomes an exit status and a sentence. */
import { EXCEPTIONS } from '../../emu/cpu/architecture.js';
import type { Machine, Outcome } from '../../emu/machine.js';
import { EXIT_STATUS } from './errors.js';

/** 128 + SIGINT, as a shell says it. */
export const INTERRUPTED = 130;

export interface Ending {
  readonly status: number;
  /** What went wrong; absent where the guest ended by itself. */
  readonly sentence?: string;
}

export function endingOf(outcome: Outcome, machine: Machine): Ending {
  const where = (cpu: number, rip: bigint): string =>
    `${machine.symbols.format(rip)} (0x${rip.toString(16)}), CPU ${cpu}, step ${machine.retired}`;
  switch (outcome.kind) {
    case 'poweroff':
      return { status: EXIT_STATUS.ok };
    case 'debug-exit':
      return { status: ((outcome.value << 1) | 1) & 0xff };
    case 'reset':
      return { status: EXIT_STATUS.reset, sentence: 'the guest has reset itself' };
    case 'triple-fault': {
      const exception = EXCEPTIONS[outcome.vector];
      const name =
        exception === undefined ? `vector ${outcome.vector}` : `${exception.mnemonic}, ${exception.name}`;
      return {
        status: EXIT_STATUS.tripleFault,
        sentence: `triple fault after ${name} at ${where(outcome.cpu, outcome.rip)}`,
      };
    }
    case 'budget':
      return {
        status: EXIT_STATUS.budget,
        sentence: `the budget is spent after ${machine.retired} instructions; --budget gives more`,
      };
    case 'hang':
      return {
        status: EXIT_STATUS.hang,
        sentence: 'the guest hangs: every CPU is halted and nothing will wake one',
      };
    case 'bus-error':
      return {
        status: EXIT_STATUS.busError,
        sentence: `an access to physical memory that is not there at ${where(outcome.cpu, outcome.rip)}`,
      };
    case 'stopped':
    case 'reached':
      return { status: INTERRUPTED, sentence: 'interrupted' };
  }
}

/** Tells what went wrong, if anything, and sets the exit status. */
export function finish(outcome: Outcome, machine: Machine): void {
  const { status, sentence } = endingOf(outcome, machine);
  if (sentence !== undefined) process.stderr.write(`unwindlab: ${sentence}\n`);
  process.exitCode = status;
}
