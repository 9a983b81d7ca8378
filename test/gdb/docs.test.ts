/** docs/gdb.md: its table of monitor commands is that of the code, and so are its numbers. */
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { Machine } from '../../emu/machine.js';
import { ConsoleGate } from '../../src/gdb/console-gate.js';
import { Monitor } from '../../src/gdb/monitor.js';
import { Motion } from '../../src/gdb/motion.js';
import { Points } from '../../src/gdb/points.js';
import { REGISTERS } from '../../src/gdb/registers.js';
import { Timeline } from '../../src/gdb/timeline.js';

const text = readFileSync('docs/gdb.md', 'utf8');

it('has each monitor command, as its help says it', () => {
  const machine = new Machine();
  const timeline = new Timeline({ machine, points: new Points(machine), gate: new ConsoleGate(() => {}) });
  const motion = new Motion(timeline, { interrupted: () => false, budget: 0, stopsAtEnd: false });
  const guest = { image: { name: '', digest: undefined }, modules: [], commandLine: '', cpus: 1, ram: 0 };
  const monitor = new Monitor({
    timeline,
    motion,
    guest: { ...guest, turn: 1, patches: [] },
    isReversible: true,
    cpu: () => 0,
  });
  const usages = monitor
    .run('help')
    .split('\n')
    .slice(1, -1)
    .map((line) => line.slice(0, 22).trim());
  const shown = [...text.matchAll(/^\| `monitor ([^`]+)`/gm)].map(([, usage]) => usage!.replaceAll('\\', ''));
  expect(shown).toEqual(usages);
  machine.close();
});

it('names registers that there are', () => {
  const named = [...text.matchAll(/`(?:fs_base|gs_base|k_gs_base|cr\d|efer)`/g)].map(([name]) =>
    name.slice(1, -1),
  );
  const names = REGISTERS.map(({ name }) => name);
  for (const name of named) expect(names).toContain(name);
  expect(new Set(named).size).toBe(9);
});
