/** The schedule of race L (docs/races.md): found by running the machine, as a person would with a debugger. */
import type { Machine } from '../../emu/machine.js';
import type { KernelAddr } from '../../emu/memory/address.js';
import { Guest } from '../../src/guest/guest.js';
import { guestSpecOf } from '../../src/lab/guest-spec.js';
import { guestReader } from '../../src/lab/kernel.js';
import { openSchedule } from '../../src/lab/open-schedule.js';
import type { Choice, Schedule } from '../../src/schedule/schedule.js';

const PROGRAM = '@roundtrip,20';
const FILES = {
  image: '@kernel-v6.19',
  commandLine: 'trace=perf,ftrace perf.source=nmi perf.period=1000000',
};
const BUDGET = 10_000_000;

const currentTask = (machine: Machine): { address: KernelAddr; guest: Guest } => {
  const guest = new Guest(
    guestReader(machine, () => machine.cpus[0]!),
    machine.symbols,
  );
  return { guest, address: guest.currentTask(0).address };
};

/** Runs until the CPU stands at a symbol and `where` holds. */
function runTo(machine: Machine, symbol: string, where: () => boolean = () => true): void {
  const remove = machine.breakpoint(machine.symbols.require(symbol), ({ index }) => index === 0 && where());
  const outcome = machine.run({ budget: BUDGET });
  remove();
  if (outcome.kind !== 'reached') throw new Error(`expected to reach ${symbol}, found ${outcome.kind}`);
}

/**
 * An NMI behind the store to the mask in an unwind_reset_info whose entry was served; then on to user mode.
 * @param cpus each runs the program, with turns of 50 instructions
 */
export async function raceL({ cpus = 1 }: { readonly cpus?: number } = {}): Promise<Schedule> {
  const modules = Array.from({ length: cpus }, () => PROGRAM);
  const guest = guestSpecOf({ ...FILES, modules }, { cpus, ...(cpus > 1 && { turn: 50 }) });
  const { machine } = await openSchedule(guest);
  try {
    const info = () => {
      const { guest: view, address } = currentTask(machine);
      return view.unwindInfo(address);
    };
    runTo(machine, 'unwind_reset_info', () => info().cookie !== 0n);
    while (info().mask !== 0n) machine.run({ budget: 1 });
    const first = machine.retired;
    machine.inject(0, { nmi: true });
    const { state } = machine.cpus[0]!;
    while (state.cpl === 0) machine.run({ budget: 1 });
    // The interrupt of the request is taken in place of the first user instruction; its way out runs the work.
    runTo(machine, 'unwind_deferred_task_work');
    while (state.cpl === 0) machine.run({ budget: 1 });
    const choices: Choice[] = [
      { kind: 'run', count: first },
      { kind: 'nmi', cpu: 0 },
      { kind: 'run', count: machine.retired - first },
    ];
    return {
      guest,
      choices,
      end: { kind: 'user', retired: machine.retired, hash: machine.events.hash.digest },
    };
  } finally {
    machine.close();
  }
}
