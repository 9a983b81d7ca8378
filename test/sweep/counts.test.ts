/** The numbers of a sweep, by arithmetic: windows of a few instructions whose boundaries can be counted by hand. */

import { describe, expect, it } from 'vitest';
import { Machine } from '../../emu/machine.js';
import { applyChoice } from '../../src/schedule/apply.js';
import type { GuestSpec } from '../../src/schedule/schedule.js';
import { isVain, scheduleOf } from '../../src/sweep/report.js';
import type { Sweep } from '../../src/sweep/sweep.js';
import type { Strike } from '../../src/sweep/tally.js';
import { WindowError } from '../../src/sweep/window.js';
import {
  broken,
  IRQ,
  missingTools,
  openToy,
  type SweptToy,
  sweepToy,
  type Toy,
  toolsNote,
  toyImage,
} from './toy.js';

const NOBODY: GuestSpec = {
  image: { name: 'toy', digest: undefined },
  modules: [],
  commandLine: '',
  cpus: 1,
  ram: 4 << 20,
  turn: 2000,
  patches: [],
};
const test = it.skipIf(missingTools.length > 0);
const irq = { kind: 'irq', vector: IRQ } as const;
const probe = { kind: 'call', symbol: 'probe' } as const;
const PROBE = 'probe: incq irqs; ret';
/** N instructions and a return. */
const work = (count: number): string => `${'incq irqs; '.repeat(count - 1)}ret`;

/** Sends itself an interrupt, which is taken behind the shadow of STI. */
const SELF_INTERRUPT =
  'movl $0xfee00300, %eax; movl $0x40040, (%rax); sti; one: nop; two: nop; behind: cli; ret';

const word = ({ machine }: Pick<SweptToy, 'machine'>, symbol: string): bigint =>
  machine.read(0, machine.symbols.lookup(symbol)!, 8)!.readBigUInt64LE();

/** Where and when events were taken in one run. */
function taken(machine: Machine, sweep: Sweep, strikes: readonly Strike[]): { at: string; time: number }[] {
  const seen: { at: string; time: number }[] = [];
  const forget = (['nmi', 'interrupt'] as const).map((kind) =>
    machine.events.on(kind, ({ rip, time }) => seen.push({ at: machine.symbols.format(rip), time })),
  );
  sweep.run(strikes);
  for (const end of forget) end();
  return seen;
}

/** For each boundary of the window, where the event that is injected there is taken. */
async function places(toy: Toy, question: Parameters<typeof openToy>[1]): Promise<(string | undefined)[]> {
  const { machine, sweep } = await sweepToy(toy, question);
  return sweep.boundaries.map((strike) => taken(machine, sweep, [strike])[0]?.at);
}

describe(`windows${toolsNote}`, () => {
  test.each([1, 2, 5, 9])('%i instructions have as many boundaries', async (count) => {
    const swept = await sweepToy({ work: work(count) });
    expect(swept.tally).toMatchObject({ runs: count + 1, cut: false });
    expect(swept.tally.levels).toMatchObject([{ boundaries: count, injected: count, held: 0 }]);
    expect(Object.values(swept.tally.states)).toMatchObject([{ runs: count + 1, first: [] }]);
    expect(broken(swept.tally)).toEqual({});
  });

  test.each([
    ['a function that returns', {}, { work: 'call f; ret', more: 'f: nop; ret' }, 4],
    ['its callee', { from: 'f' }, { work: 'call f; ret', more: 'f: nop; ret' }, 2],
    ['two labels', { from: 'begin', to: 'end' }, { work: 'nop; begin: nop; nop; end: nop; ret' }, 2],
    ['an offset', { from: 'work+1', to: 'work+0x3' }, { work: 'nop; nop; nop; nop; ret' }, 2],
    ['to user mode', { from: 'left', to: 'user' }, {}, 2],
    ['from user mode', { from: 'user', to: 'work' }, { user: 'nop; nop; again: syscall; jmp again' }, 6],
    [
      'a function in user mode',
      { from: 'f' },
      { user: 'call f; again: syscall; jmp again', more: 'f: nop; ret' },
      2,
    ],
    ['a loop, by iterations', {}, { work: 'movl $5, %r8d; 1: decl %r8d; jnz 1b; ret' }, 12],
    ['an exit by a jump', { to: 'user' }, { work: 'nop; addq $8, %rsp; jmp left' }, 5],
  ] as const)('%s', async (_, question, toy, boundaries) => {
    const { tally, sweep } = await sweepToy(toy, question);
    expect(sweep.boundaries.filter(({ delivered }) => !delivered)).toHaveLength(boundaries);
    expect(tally).toMatchObject({ cut: false, runs: boundaries + 1 });
    expect(broken(tally)).toEqual({});
  });

  test('an occurrence', async () => {
    const user = 'again: incl %ebx; syscall; jmp again';
    const first = (await openToy({ user: `xorl %ebx, %ebx; ${user}` })).run([]).state;
    const third = (await openToy({ user: `xorl %ebx, %ebx; ${user}` }, { occurrence: 3 })).run([]).state;
    expect([first, third].map((state) => / rbx=(\w+)/.exec(state)?.[1])).toEqual(['1', '3']);
  });

  test('a window that begins with a handler, at the boundary where it was entered', async () => {
    const { sweep, tally } = await sweepToy({ work: SELF_INTERRUPT }, { from: 'irq' });
    expect(sweep.window.startsDelivered).toBe(true);
    expect(tally.levels[0]).toMatchObject({ boundaries: 6, injected: 6 });
    expect(broken(tally)).toEqual({});
  });

  test('a boundary at which something is delivered counts before and behind it', async () => {
    const { sweep, machine } = await sweepToy({ work: SELF_INTERRUPT }, { from: 'one', to: 'behind' });
    const places = sweep.boundaries.map(
      ({ rip, delivered }) => `${machine.symbols.format(rip)}${delivered ? '!' : ''}`,
    );
    expect(places.slice(0, 4)).toEqual(['one', 'two', 'two!', 'irq+0x8']);
    expect(places.slice(-2)).toEqual(['irq+0x15', 'two']);
  });

  test.each([
    ['no symbol', { from: 'nowhere' }, /expected a symbol of the image or `user`, found nowhere$/],
    ['no symbol at the end', { to: 'nowhere' }, /found nowhere$/],
    [
      'not so often',
      { from: 'nmi' },
      /expected CPU 0 to come to nmi, found the run ended \(budget\) before$/,
    ],
    ['no such CPU', { cpu: 1 }, /expected a CPU from 0 to 0, found 1$/],
    [
      'user to user',
      { from: 'user', to: 'user' },
      /expected a window that begins at `user` to end at a symbol/,
    ],
  ])('%s', async (_, question, sentence) => {
    await expect(openToy({}, question)).rejects.toThrow(WindowError);
    await expect(openToy({}, question)).rejects.toThrow(sentence);
  });
});

describe('pairs and triples', () => {
  const HANDLER = 2;
  test.each([1, 3, 6])('depth 2 in a window of %i', async (count) => {
    const { tally } = await sweepToy({ work: work(count) }, { depth: 2 });
    const [first, second] = tally.levels;
    expect(first).toMatchObject({ boundaries: count, injected: count, held: 0 });
    // Behind each strike: the same place, the handler's instructions, and what is left of the window.
    expect(second).toMatchObject({
      boundaries: count * (1 + HANDLER) + (count * (count + 1)) / 2,
      held: count * HANDLER,
      skipped: { same: count, registers: 0, blocked: 0, uncallable: 0 },
    });
    expect(tally.runs).toBe(1 + first!.injected + second!.injected);
    expect(broken(tally)).toEqual({});
  });

  test.each([1, 4])('depth 2 of calls in a window of %i', async (count) => {
    const { tally } = await sweepToy({ work: work(count), more: PROBE }, { depth: 2, injection: probe });
    expect(tally.levels[1]).toMatchObject({
      boundaries: count * 2 + (count * (count + 1)) / 2,
      held: 0,
      skipped: { same: count },
    });
  });

  test('depth 3', async () => {
    const { tally } = await sweepToy({ work: 'ret', more: PROBE }, { depth: 3, injection: probe });
    // P is before the probe's return, R before the window's: R, RP, RR; RPP at the inner return, RPP' at the outer one, …
    expect(tally.levels.map(({ boundaries }) => boundaries)).toEqual([1, 3, 7]);
    expect(tally.levels.map(({ skipped }) => skipped.same)).toEqual([0, 1, 2]);
  });

  test('an event that comes in the handler of one arrives right behind its IRET', async () => {
    const toy = { work: work(3), nmi: 'nop; incq nmis; nop; nop; iretq' };
    const { machine, sweep } = await sweepToy(toy);
    const first = { at: 1, delivered: false };
    for (const second of [
      { at: 1, delivered: true },
      ...[2, 3, 4, 5].map((at) => ({ at, delivered: false })),
    ]) {
      const before = word({ machine }, 'nmis');
      const [one, two, ...more] = taken(machine, sweep, [first, second]);
      expect(more).toEqual([]);
      expect(one!.at).toBe(two!.at);
      expect(two!.time - one!.time).toBe(5);
      expect(before).toBeGreaterThan(0n);
      expect(word({ machine }, 'nmis')).toBe(2n);
    }
    // Behind the IRET it strikes at once, one instruction of the window later.
    const [one, two] = taken(machine, sweep, [first, { at: 7, delivered: false }]);
    expect(two!.time - one!.time).toBe(6);
  });
});

describe('between the parts of an instruction, and in shadows', () => {
  const COPY =
    'pushq %rcx; movl $from, %esi; movl $to, %edi; movl $3, %ecx; copy: rep movsb; done: popq %rcx; ret';
  const DATA = 'from: .ascii "abc"; to: .ascii "   "; .balign 8, 0x90';

  test.each([{ kind: 'nmi' } as const, irq])(
    'rep movsb has a boundary before each iteration, and one behind them ($kind)',
    async (injection) => {
      // The engine ends the instruction in a step of its own, which finds RCX = 0.
      const question = { injection, from: 'copy', to: 'done' };
      const toy = { work: `sti; nop; ${COPY.replace('ret', 'cli; ret')}`, more: DATA };
      const { machine, sweep, tally } = await sweepToy(toy, question);
      expect(sweep.boundaries.map(({ rip }) => machine.symbols.format(rip))).toEqual(Array(4).fill('copy'));
      expect(Object.keys(tally.states)).toHaveLength(1);
      for (const strike of sweep.boundaries) {
        const [event] = taken(machine, sweep, [strike]);
        expect(event).toMatchObject({ at: 'copy' });
        expect(machine.read(0, machine.symbols.lookup('to')!, 3)!.toString()).toBe('abc');
      }
    },
  );

  test('STI holds interrupts for one instruction, and no NMI', async () => {
    const toy = { work: 'sti; one: nop; two: nop; three: cli; four: ret' };
    expect(await places(toy, { injection: irq })).toEqual(['two', 'two', 'two', 'three', 'user+0x2']);
    expect(await places(toy, {})).toEqual(['work', 'one', 'two', 'three', 'four']);
    const { tally } = await sweepToy(toy, { injection: irq });
    expect(tally.levels[0]).toMatchObject({ boundaries: 5, injected: 5, held: 3 });
  });

  test('MOV SS holds NMIs too', async () => {
    const toy = { work: 'movl $0x10, %eax; one: movl %eax, %ss; two: nop; three: nop; four: ret' };
    expect(await places(toy, {})).toEqual(['work', 'one', 'three', 'three', 'four']);
    const { tally } = await sweepToy(toy);
    expect(tally.levels[0]).toMatchObject({ injected: 5, held: 1 });
  });

  test('with IF clear an interrupt waits until it is set', async () => {
    expect(await places({}, { injection: irq, to: 'user' })).toEqual(Array(3).fill('user+0x2'));
  });
});

describe('schedules of runs', () => {
  const nmi = { kind: 'nmi' } as const;
  test.each<[string, Toy, Parameters<typeof openToy>[1]]>([
    ['an NMI', { work: work(3) }, { injection: nmi }],
    ['an interrupt', { work: 'sti; nop; nop; cli; ret' }, { injection: irq, to: 'user' }],
    ['a call', { work: work(3), more: PROBE }, { injection: probe }],
    ['an NMI where something is delivered', { work: SELF_INTERRUPT }, { injection: nmi, to: 'user' }],
    [
      'an NMI behind what was delivered',
      { work: SELF_INTERRUPT },
      { injection: nmi, from: 'irq', to: 'user' },
    ],
    ['an NMI in user mode', { user: 'nop; again: syscall; jmp again' }, { from: 'user', to: 'work' }],
    ['a triple fault', { work: work(2), nmi: 'ud2' }, { injection: nmi }],
    ['a hang', { work: work(2), nmi: 'hlt; jmp nmi' }, { injection: nmi }],
    [
      'a bus error',
      {
        work: work(2),
        nmi: 'movl $0x200000, %eax; movl $0x40000000, %ebx; movl $0x40000087, pd + 8; jmp *%rax',
      },
      { injection: nmi },
    ],
  ])('%s: each, and each pair, is the same on another machine', async (_, toy, question) => {
    const { sweep } = await sweepToy(toy, { ...question, depth: 2 });
    const start = { retired: sweep.window.start, delivered: sweep.window.startsDelivered };
    const spec = { question: sweep.question, start, guest: NOBODY };
    const places = sweep.boundaries.filter(({ skip }) => skip === undefined);
    const ends = new Set<string>();
    for (const [index, first] of places.entries())
      for (const strikes of [[first], ...places.slice(index + 1).map((second) => [first, second])]) {
        // The second may fall into the routine; or it is not come to.
        if (strikes.length > 1 && (question?.injection?.kind === 'call' || !ends.has('user'))) continue;
        const result = sweep.run(strikes.map(({ at, delivered }) => ({ at, delivered })));
        const { choices, end } = scheduleOf(spec, result);
        ends.add(end!.kind);
        const other = new Machine({ ram: 4 << 20 });
        other.load(toyImage(toy));
        for (const choice of choices) applyChoice(other, choice);
        const found = { kind: end!.kind, retired: other.retired, hash: other.events.hash.digest };
        other.close();
        expect(found).toEqual(end);
      }
    expect(ends.size).toBe(1);
  });
});

describe('what is left out', () => {
  test('where only registers are touched, all but the last', async () => {
    const toy = { work: 'nop; xorl %eax, %eax; incq irqs; movl $1, %eax; ret' };
    const { tally } = await sweepToy(toy, { prune: true });
    expect(tally.levels[0]).toMatchObject({ boundaries: 5, injected: 2, skipped: { registers: 3 } });
    expect(tally.runs).toBe(3);
  });

  test('where NMIs are blocked, all but the handler’s first and last', async () => {
    const toy = { work: 'ret', nmi: `${'incq nmis; '.repeat(5)}iretq` };
    const { tally } = await sweepToy(toy, { prune: true, depth: 2 });
    expect(tally.levels[1]).toMatchObject({
      boundaries: 8,
      injected: 3,
      held: 2,
      skipped: { blocked: 4, same: 1 },
    });
  });

  test('calls in user mode, or on its stack', async () => {
    const toy = { user: 'movl $0x90000, %esp; nop; again: syscall; jmp again', more: PROBE };
    const { tally } = await sweepToy(toy, { from: 'user', to: 'work', injection: probe });
    expect(tally.levels[0]).toMatchObject({ boundaries: 6, injected: 1, skipped: { uncallable: 5 } });
    const user = await sweepToy(toy, { from: 'user', to: 'entry', injection: probe });
    expect(isVain(user.tally)).toBe(true);
  });

  test('an empty window', async () => {
    const { tally } = await sweepToy({}, { from: 'work', to: 'work' });
    expect(tally.levels[0]!.boundaries).toBe(0);
    expect(isVain(tally)).toBe(true);
  });

  test('what lies behind the bound', async () => {
    const toy = { work: `movl $100, %r8d; 1: decl %r8d; jnz 1b; ret` };
    expect((await sweepToy(toy, { bound: 250 })).tally).toMatchObject({ cut: false, runs: 203 });
    const cut = await sweepToy(toy, { bound: 50 });
    expect(cut.tally).toMatchObject({ cut: true, runs: 52 });
    expect(broken(cut.tally)).toEqual({ 'exit-reached': 52 });
  });
});

describe('what every image must keep', () => {
  const N = 3;
  test.each<[what: string, toy: Toy, found: Record<string, number>]>([
    ['a handler that loops', { nmi: 'jmp nmi' }, { 'exit-reached': N }],
    ['a handler that halts', { nmi: 'hlt; jmp nmi' }, { 'exit-reached': N }],
    ['a fault without a handler', { nmi: 'ud2' }, { 'no-fault': N }],
    ['a reset', { nmi: 'movb $6, %al; movw $0xcf9, %dx; outb %al, %dx; hlt' }, { 'no-fault': N }],
    [
      'a handler that leaves by SYSRET',
      { nmi: 'movl $user, %ecx; movl $0x202, %r11d; sysretq' },
      { 'event-delivered': N },
    ],
    [
      'a handler that leaves by a jump',
      {
        nmi: 'pushq %rax; movq 8(%rsp), %rax; movq %rax, back; popq %rax; movq 24(%rsp), %rsp; jmp *back',
        more: 'back: .quad 0',
      },
      { 'event-delivered': N },
    ],
    ['a handler that returns', {}, {}],
  ])('%s', async (_, toy, found) => {
    const { tally } = await sweepToy({ work: work(N), ...toy });
    expect(broken(tally)).toEqual(found);
    expect(tally.runs).toBe(N + 1);
  });

  test('a second NMI that is lost tells that one is waiting', async () => {
    const nmi = 'movl $user, %ecx; movl $0x202, %r11d; sysretq';
    const { tally } = await sweepToy({ work: 'ret', nmi }, { depth: 2 });
    const sentences = Object.values(tally.breaches).map(({ simplest }) => simplest.violations[0]!.sentence);
    expect(sentences).toEqual(['expected user code to go on with NMIs let in, found them still blocked']);
  });
});

describe('each run twice', () => {
  test('changes no count', async () => {
    const toy = { work: work(4) };
    const [once, twice] = await Promise.all(
      [false, true].map((isChecked) => sweepToy(toy, { depth: 2 }, { isChecked })),
    );
    expect(twice!.tally).toEqual(once!.tally);
  });

  test('finds a run that is not the same again', async () => {
    let count = 0;
    const watch = () => ({
      violations: [],
      settled: () => true,
      endState: () => `state ${count++}`,
      capture: () => undefined,
      reinstate: () => {},
    });
    const { tally } = await sweepToy({ work: 'ret' }, {}, { watch, isChecked: true });
    expect(broken(tally)).toEqual({ deterministic: 2 });
    expect(Object.values(tally.breaches)[0]!.simplest.violations[0]!.sentence).toMatch(
      /^expected the same run twice, found state user state \d and user state \d$/,
    );
  });
});
