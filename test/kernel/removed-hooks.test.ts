/** A machine whose code was watched before runs as one whose code never was: page faults of user code above all. */
import { expect, test } from 'vitest';
import type { Machine } from '../../emu/machine.js';
import { guestSpecOf } from '../../src/lab/guest-spec.js';
import { openSchedule } from '../../src/lab/open-schedule.js';

const STEPS = 60;
const PAGE_FAULT = 14;

const GUEST = guestSpecOf(
  { image: '@kernel-v6.19', modules: ['@roundtrip,6'], commandLine: 'trace=perf,ftrace perf.source=nmi' },
  {},
);

/** Instructions up to shortly before a page fault of the program, in the middle of its run. */
async function shortlyBeforeFault(): Promise<number> {
  const { machine } = await openSchedule(GUEST);
  try {
    const faults: number[] = [];
    machine.events.on('exception', ({ vector, cpu }) => {
      if (vector === PAGE_FAULT && machine.cpus[cpu]!.state.cpl === 3) faults.push(machine.retired);
    });
    machine.run();
    return faults.at(-1)! - STEPS / 2;
  } finally {
    machine.close();
  }
}

/** Where CPU 0 stands after each of some steps. */
async function places(start: number, watch: (machine: Machine) => () => void): Promise<string[]> {
  const { machine } = await openSchedule(GUEST);
  try {
    const remove = watch(machine);
    machine.run({ budget: start });
    remove();
    return Array.from({ length: STEPS }, () => {
      machine.run({ budget: 1 });
      return machine.symbols.format(machine.cpus[0]!.state.rip);
    });
  } finally {
    machine.close();
  }
}

const never = (): boolean => false;

test.each<[string, (machine: Machine) => () => void]>([
  ['a breakpoint', (machine) => machine.breakpoint(machine.symbols.require('entry_SYSCALL_64'), never)],
  ['the watch of user code', (machine) => machine.onUserCode(never)],
])('after the removal of %s the same instructions are executed', async (_, watch) => {
  const start = await shortlyBeforeFault();
  const plain = await places(start, () => never);
  expect(plain).toContain('asm_page_fault');
  expect(await places(start, watch)).toEqual(plain);
});
