/** Stories of real runs: race L on the newest kernel, on one CPU and on two, and guests that nobody knows. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { outlineOf } from '../../src/explain/outline.js';
import { pathOf, type Step, type Story } from '../../src/explain/story.js';
import { explain } from '../../src/lab/explain.js';
import type { Choice, Schedule } from '../../src/schedule/schedule.js';
import { Scratch } from '../system/run.js';
import { tinyImage } from '../system/tiny-image.js';
import { raceL } from './race-l.js';

const labels = (story: Story, { context }: Step): string[] =>
  pathOf(story, context).map((index) => story.contexts[index]!.label);
const notes = (story: Story): string[] =>
  story.steps.flatMap((step) => step.notes.map(({ kind, text }) => `${kind}: ${text}`));
const changes = (story: Story, field: string): string[] =>
  story.steps.flatMap(({ state }) =>
    state.filter(({ name }) => name === field).map(({ before, after }) => `${before} -> ${after}`),
  );
const where = (story: Story, { action }: Step): string =>
  action.kind === 'instruction' ? story.code[action.code]!.where : action.kind;

describe('race L', () => {
  let schedule: Schedule;
  let story: Story;
  beforeAll(async () => {
    schedule = await raceL();
    story = await explain(schedule);
  });

  test('is the run of the schedule, though it was run step by step', () => {
    expect(story.differs).toBeUndefined();
    expect(story.end).toBe('the schedule ends here');
  });

  test('begins as the task enters the kernel; what was before is passed over', () => {
    expect(story.steps[0]!.action.kind).toBe('skip');
    expect(labels(story, story.steps[1]!)).toEqual(['user']);
    const inKernel = story.steps.find((step) => labels(story, step).length > 1)!;
    expect(labels(story, inKernel)).toEqual(['user', 'system call gettid']);
    expect(where(story, inKernel)).toBe('entry_SYSCALL_64');
  });

  test('the NMI nests in the system call, and the interrupt of its request in user mode', () => {
    const entries = story.steps.filter(({ action }) => action.kind === 'entry');
    expect(entries.map((step) => labels(story, step))).toEqual([
      ['user', 'system call gettid', 'NMI'],
      ['user', 'IRQ 0xf5 (asm_task_work)'],
    ]);
    const strike = story.steps.findIndex(({ action }) => action.kind === 'choice');
    expect(story.steps[strike]!.at).toBe((schedule.choices[0] as { count: number }).count);
    expect(where(story, story.steps[strike - 1]!)).toMatch(/^unwind_reset_info\+/);
    expect(story.steps[strike + 1]!.action.kind).toBe('entry');
    const back = story.steps.find((step, index) => index > strike && labels(story, step).length === 2)!;
    expect(where(story, back)).toMatch(/^unwind_reset_info\+/);
  });

  test('requests, answers and callbacks are told, with their tracers', () => {
    expect(notes(story)).toEqual([
      'request: ftrace asks: unwind_deferred_request',
      'answer: ftrace is told 0, cookie 300000001',
      'request: ftrace asks: unwind_deferred_request',
      'answer: ftrace is told 1, cookie 300000001',
      'callback: ftrace is called with cookie 300000001, 2 frames',
      'choice: an NMI is raised at CPU 0',
      'request: perf asks: unwind_deferred_request',
      'signal: CPU 0 sends interrupt 0xf5',
      'answer: perf is told 0, cookie 300000001',
      'callback: perf is called with cookie 0, 2 frames',
      expect.stringMatching(/^violation: cookie-not-zero: expected /),
    ]);
  });

  test("the task's state is told as it changes", () => {
    expect(changes(story, 'mask')).toEqual([
      '0 -> PENDING|ftrace',
      'PENDING|ftrace -> ftrace',
      'ftrace -> USED|ftrace',
      'USED|ftrace -> 0',
      '0 -> PENDING|perf',
      'PENDING|perf -> perf',
      'perf -> USED|perf',
      'USED|perf -> 0',
    ]);
    expect(changes(story, 'id')).toEqual([
      '0 -> 300000000 (no CPU yet, 3)',
      '300000000 (no CPU yet, 3) -> 300000001 (CPU 0, 3)',
      '300000001 (CPU 0, 3) -> 0',
    ]);
    expect(changes(story, 'works')).toEqual([
      'none -> unwind',
      'unwind -> none',
      'none -> unwind',
      'unwind -> none',
    ]);
    expect(changes(story, 'flags')[0]).toBe('0 -> NOTIFY_RESUME');
    expect(changes(story, 'completed')).toContain('0 -> perf');
  });

  test('registers are told by the instruction that changed them', () => {
    const entry = story.steps.find(({ action }) => action.kind === 'entry')!;
    expect(entry.registers.map(({ name }) => name)).toContain('rsp');
    const first = story.steps.find((step) => where(story, step) === 'unwind_reset_info')!;
    expect(first.registers.map(({ name }) => name)).toEqual(['rcx']); // movq %gs:current_task, %rcx
  });

  test('what is broken is found at its step', () => {
    expect(story.broken).toMatchObject([{ id: 'cookie-not-zero' }]);
    const { step, sentence } = story.broken[0]!;
    expect(sentence).toMatch(/^expected .*, found 0\.$/);
    expect(story.steps[step!]!.notes.map(({ kind }) => kind)).toEqual(['callback', 'violation']);
  });

  test('an instruction has its source and names in place of addresses', () => {
    const reset = story.code.find((code) => code.where === 'unwind_reset_info')!;
    expect(reset).toMatchObject({ text: 'movq   %gs:current_task,%rcx', routine: 'unwind_reset_info' });
    expect(reset.source).toMatch(/^guest-kernel\/unwind\/v6\.19\.S:\d+$/);
    expect(story.code.find(({ text }) => text.startsWith('jb '))!.text).toMatch(/^jb {5}[a-z_]+\+0x/);
  });

  test('the outline folds what tells nothing, and loses no step', () => {
    const rows = outlineOf(story);
    expect(rows.length).toBeLessThan(story.steps.length / 20);
    const told = rows.flatMap((row) =>
      row.kind === 'step'
        ? [row.step]
        : Array.from({ length: row.to - row.from }, (_, index) => row.from + index),
    );
    expect(told).toEqual(story.steps.map((_, index) => index));
    expect(outlineOf(story, true).every(({ kind }) => kind === 'step')).toBe(true);
  });

  test('a run that is not the one of the schedule says so', async () => {
    const end = { ...schedule.end!, hash: '0123456789abcdef' };
    const { differs } = await explain({ ...schedule, end });
    expect(differs).toMatch(
      /^expected the run to end after \d+ instructions with hash 0123456789abcdef, found \d+ with /,
    );
  });

  test('an invariant that the schedule names and that is broken at no step is told of the end', async () => {
    const { broken } = await explain({ ...schedule, breaks: ['cookie-not-zero', 'no-such-rule'] });
    expect(broken.map(({ id }) => id)).toEqual(['cookie-not-zero', 'no-such-rule']);
    expect(broken[1]!.sentence).toMatch(/^the schedule says so of its run, at the end of which CPU 0 is at /);
  });
});

describe('two CPUs', () => {
  let story: Story;
  beforeAll(async () => {
    story = await explain(await raceL({ cpus: 2 }));
  });

  test('the run is the same, and the same rule is broken', () => {
    expect(story.differs).toBeUndefined();
    expect(story.broken.map(({ id }) => id)).toContain('cookie-not-zero');
  });
  test('each CPU has contexts and tasks of its own', () => {
    expect(new Set(story.steps.map(({ cpu }) => cpu))).toEqual(new Set([0, 1]));
    for (const step of story.steps) expect(story.contexts[step.context]!.cpu).toBe(step.cpu);
  });
});

describe('guests that nobody knows', () => {
  const scratch = new Scratch();
  afterAll(() => scratch.remove());

  async function tiny(source: string, choices: readonly Choice[]): Promise<Story> {
    const name = scratch.write('tiny.elf', await tinyImage(source));
    const guest = { modules: [], commandLine: '', cpus: 1, ram: 4 << 20, turn: 2000, patches: [] };
    return explain({
      guest: { ...guest, image: { name, digest: undefined } },
      choices,
      breaks: ['some-rule'],
    });
  }
  const COUNTING = `
      mov $0x10, %ebx
    again:
      inc %ebx
      jmp again`;

  test('are told by their instructions and registers', async () => {
    const story = await tiny(COUNTING, [{ kind: 'run', count: 4 }]);
    expect(story.tasks).toEqual([]);
    expect(story.contexts.map(({ label }) => label)).toEqual(['kernel']);
    expect(story.steps.map((step) => story.code[(step.action as { code: number }).code]!.text)).toEqual([
      expect.stringMatching(/^movl {3}\$0x80000,%esp$/),
      expect.stringMatching(/^movl {3}\$0x10,%ebx$/),
      'incl   %ebx',
      expect.stringMatching(/^jmp {4}/),
    ]);
    expect(story.steps[2]!.registers).toContainEqual({ name: 'rbx', before: '10', after: '11' });
    expect(story.broken).toMatchObject([{ id: 'some-rule', step: 3 }]);
    expect(story.broken[0]!.sentence).toMatch(/ CPU 0 is at 0x[0-9a-f]+ in kernel\.$/);
  });

  test('an NMI without a handler ends in a triple fault', async () => {
    const story = await tiny(COUNTING, [
      { kind: 'run', count: 4 },
      { kind: 'nmi', cpu: 0 },
      { kind: 'run', count: 4 },
    ]);
    expect(story.end).toBe('a triple fault');
    expect(story.steps.at(-1)!.action.kind).toBe('entry');
  });
});

describe('other choices', () => {
  test('a routine that a CPU is made to call is told from its first instruction', async () => {
    const { guest, choices } = await raceL();
    const [toReset] = choices;
    const story = await explain({
      guest,
      choices: [toReset!, { kind: 'call', cpu: 0, symbol: 'trace_probe' }, { kind: 'run', count: 200 }],
    });
    const strike = story.steps.findIndex(({ action }) => action.kind === 'choice');
    expect(story.steps[strike]).toMatchObject({ action: { choice: 'call:0:trace_probe' } });
    expect(where(story, story.steps[strike + 1]!)).toBe('trace_probe');
  });

  test('input is no strike: of a run without one, the end is told', async () => {
    const { guest } = await raceL();
    const choices: Choice[] = [
      { kind: 'input', bytes: Uint8Array.of(4) },
      { kind: 'run', count: 12_000 },
    ];
    const { steps } = await explain({ guest, choices });
    expect(steps.slice(0, 2).map(({ action }) => action)).toEqual([
      { kind: 'choice', choice: 'in:04' },
      { kind: 'skip', count: 10_000 },
    ]);
    expect(steps.at(-1)!.at).toBe(11_999);
  });

  test('a page fault is a context, and its instruction is tried before it', async () => {
    const { guest } = await raceL();
    const story = await explain({ guest, choices: [{ kind: 'run', count: 12_000 }] });
    const fault = story.steps.findIndex(({ action }) => action.kind === 'entry');
    expect(labels(story, story.steps[fault]!).at(-1)).toBe('#PF (asm_page_fault)');
    expect(story.steps[fault - 1]!.registers).toEqual([]);
  });
});
