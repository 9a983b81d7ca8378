/** A run forth and back: each place of it is the same whenever the run is there. */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Machine } from '../../emu/machine.js';
import { phys } from '../../emu/memory/address.js';
import { ConsoleGate } from '../../src/gdb/console-gate.js';
import { Motion } from '../../src/gdb/motion.js';
import { Points } from '../../src/gdb/points.js';
import { readRegisters } from '../../src/gdb/registers.js';
import { Timeline } from '../../src/gdb/timeline.js';
import { applyChoice } from '../../src/schedule/apply.js';
import { program } from '../system/run.js';

const kernel = readFileSync(resolve('build/kernel-v6.19.elf'));
const bytes = readFileSync(program('threads'));
const RAM = 32 << 20;
const BUDGET = 10_000_000;

interface Under {
  readonly machine: Machine;
  readonly timeline: Timeline;
  readonly motion: Motion;
  /** What the guest has printed. */
  readonly printed: () => string;
}

function load(console: (byte: number) => void = () => {}): Machine {
  const machine = new Machine({ cpus: 2, ram: RAM, console });
  const commandLine = 'trace=perf,ftrace perf.source=nmi perf.period=20000';
  machine.load(kernel, { commandLine, modules: [{ bytes, commandLine: 'threads' }] });
  return machine;
}

function under(): Under {
  const printed: number[] = [];
  const gate = new ConsoleGate((byte) => printed.push(byte));
  const machine = load(gate.put);
  const timeline = new Timeline({ machine, points: new Points(machine), gate });
  const motion = new Motion(timeline, { interrupted: () => false, budget: BUDGET, stopsAtEnd: false });
  return { machine, timeline, motion, printed: () => Buffer.from(printed).toString() };
}

/** All but RAM: registers, time, what is pending, events. */
function stateOf({ machine }: Under): string {
  const cpus = machine.cpus.map((cpu) => {
    const { time, retired, nmiPending, activity } = cpu;
    return `${readRegisters(cpu).toString('hex')} ${time} ${retired} ${nmiPending} ${activity}`;
  });
  return `${cpus.join('\n')}\n${machine.inTurn} ${machine.events.hash.digest}`;
}

type Move =
  | { readonly to: 'forward'; readonly count: number }
  | { readonly to: 'step' | 'reverse-step'; readonly cpu: number }
  | { readonly to: 'back'; readonly part: number }
  | { readonly to: 'nmi'; readonly cpu: number }
  | { readonly to: 'alone'; readonly cpu: number };

const cpu = fc.integer({ min: 0, max: 1 });
const move: fc.Arbitrary<Move> = fc.oneof(
  fc.record({ to: fc.constant('forward' as const), count: fc.integer({ min: 1, max: 60_000 }) }),
  fc.record({ to: fc.constantFrom('step' as const, 'reverse-step' as const), cpu }),
  fc.record({ to: fc.constant('back' as const), part: fc.double({ min: 0, max: 1, noNaN: true }) }),
  fc.record({ to: fc.constantFrom('nmi' as const, 'alone' as const), cpu }),
);

async function take({ timeline, motion }: Under, chosen: Move): Promise<void> {
  const { moment } = timeline.place;
  switch (chosen.to) {
    case 'forward':
      timeline.advance(chosen.count);
      return;
    case 'step':
      await motion.step(chosen.cpu);
      return;
    case 'reverse-step':
      motion.reverseStep(chosen.cpu);
      return;
    case 'back':
      timeline.goTo({ moment: Math.floor(moment * chosen.part), delivered: undefined });
      return;
    case 'nmi':
      timeline.decide({ kind: 'nmi', cpu: chosen.cpu });
      return;
    case 'alone':
      await motion.alone([chosen.cpu], true);
  }
}

describe('a run under gdb', () => {
  it('is at each place what it was there before, and what its schedule makes again', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(move, { minLength: 3, maxLength: 12 }), async (moves) => {
        const run = under();
        const other = load();
        try {
          run.timeline.advance(20_000);
          for (const each of moves) await take(run, each);
          const { place } = run.timeline;
          const state = stateOf(run);
          const ram = run.machine.memory.readPhysical(phys(0), RAM)!;
          const choices = run.timeline.choices()!;
          run.timeline.goTo({ moment: Math.floor(place.moment / 2), delivered: undefined });
          run.timeline.goTo(place);
          expect(stateOf(run)).toBe(state);
          expect(run.machine.memory.readPhysical(phys(0), RAM)!.equals(ram)).toBe(true);
          for (const choice of choices) applyChoice(other, choice);
          expect(other.retired).toBe(run.machine.retired);
          expect(other.events.hash.digest).toBe(run.machine.events.hash.digest);
        } finally {
          run.machine.close();
          other.close();
        }
      }),
      { numRuns: 15, seed: 4 },
    );
  });

  it('goes back by each step that it went forth', async () => {
    const run = under();
    run.timeline.advance(40_000);
    run.timeline.decide({ kind: 'nmi', cpu: run.machine.inTurn });
    const stepped = run.machine.inTurn;
    const rips: bigint[] = [];
    const rip = (): bigint => run.machine.cpus[stepped]!.state.rip;
    for (let count = 0; count < 200; count++) {
      rips.push(rip());
      await run.motion.step(stepped);
    }
    for (const expected of rips.reverse()) {
      run.motion.reverseStep(stepped);
      expect(rip()).toBe(expected);
    }
    run.machine.close();
  });

  it.each([
    ['an NMI that nothing can take', 5, (run: Under) => run.timeline.decide({ kind: 'nmi', cpu: 0 })],
    [
      'an instruction that cannot be fetched',
      5,
      (run: Under) =>
        run.timeline.edit(({ cpus }) => {
          cpus[0]!.state.rip = 0x7000_0000n;
        }),
    ],
  ])('goes back from the end by %s, and comes to it again', async (_what, moment, kill) => {
    const run = under();
    run.timeline.advance(moment);
    kill(run);
    const outcome = run.timeline.advance(BUDGET);
    const { place } = run.timeline;
    expect(run.timeline.outcome).toEqual(outcome);
    run.motion.reverseStep(0);
    expect(run.timeline.place.moment).toBe(place.moment - 1);
    expect(run.timeline.outcome).toBeUndefined();
    expect(await run.motion.step(0)).toMatchObject({ kind: 'ended', outcome });
    expect(run.timeline.place).toEqual(place);
    run.machine.close();
  });

  it('prints each byte of the console once, and again where the run takes another way', () => {
    const plain: number[] = [];
    const machine = load((byte) => plain.push(byte));
    machine.run({ budget: BUDGET });
    machine.close();
    const run = under();
    for (const moment of [30_000, 5_000, 90_000, 20_000]) run.timeline.goTo({ moment, delivered: undefined });
    run.timeline.advance(BUDGET);
    expect(run.timeline.outcome).toEqual({ kind: 'poweroff' });
    expect(run.printed()).toBe(Buffer.from(plain).toString());
    run.machine.close();
  });

  it.each(['get_cookie', 'asm_exc_nmi'])(
    'finds the last hit of a breakpoint at %s, as often as it is met forward',
    async (symbol) => {
      const run = under();
      const { machine, timeline, motion } = run;
      timeline.points.set('swbreak', machine.symbols.require(symbol), 1, machine.cpus[0]!);
      const met: string[] = [];
      for (;;) {
        const stop = await motion.continue();
        if (stop.kind === 'ended') break;
        expect(stop).toMatchObject({ kind: 'hit', hit: { type: 'swbreak' } });
        met.push(stateOf(run));
      }
      for (const state of met.slice(-20).reverse()) {
        expect(await motion.reverseContinue()).toMatchObject({ kind: 'hit' });
        expect(stateOf(run)).toBe(state);
      }
      const other = load();
      for (const choice of timeline.choices()!) applyChoice(other, choice);
      expect(other.events.hash.digest).toBe(machine.events.hash.digest);
      expect(met.length).toBeGreaterThan(1);
      machine.close();
      other.close();
    },
  );

  it('comes back to a bookmark on a way that it has left', () => {
    const run = under();
    const { timeline } = run;
    timeline.advance(30_000);
    timeline.decide({ kind: 'nmi', cpu: 0 });
    timeline.advance(5_000);
    const state = stateOf(run);
    const bookmark = timeline.bookmark();
    timeline.goTo({ moment: 20_000, delivered: undefined });
    timeline.edit(({ cpus }) => cpus[0]!.state.setReg(0, 1n));
    timeline.advance(1_000);
    expect(timeline.choices()).toBeUndefined();
    timeline.goBackTo(bookmark);
    expect(stateOf(run)).toBe(state);
    expect(timeline.choices()).toHaveLength(3);
    run.machine.close();
  });
});
