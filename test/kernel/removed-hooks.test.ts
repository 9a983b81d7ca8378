/** A machine whose code was watched before runs as one whose code never was: page faults of user code above all. */
import { expect, test } from 'vitest';
import type { Machine } from '../../emu/machine.js';
import { guestSpecOf, openSchedule } from '../../src/lab/open-schedule.js';

/** Just before a system call behind which user code touches a page for the first time. */
const START = 26_176;
const STEPS = 60;

const GUEST = guestSpecOf(
  { image: '@kernel-v6.19', modules: ['@roundtrip,6'], commandLine: 'trace=perf,ftrace perf.source=nmi' },
  {},
);

/** Where CPU 0 stands after each of some steps. */
async function places(watch: (machine: Machine) => () => void): Promise<string[]> {
  const { machine } = await openSchedule(GUEST);
  try {
    const remove = watch(machine);
    machine.run({ budget: START });
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
  const plain = await places(() => never);
  expect(plain).toContain('asm_page_fault');
  expect(await places(watch)).toEqual(plain);
});
