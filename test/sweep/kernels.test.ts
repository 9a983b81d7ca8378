/**
 * Sweeps of this project's kernels: what is left out changes nothing, schedules of breaches are what they say, and shards, processes
 * and second runs come to the same.
 */
import { existsSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { DEFAULT_BUDGET, DEFAULT_RAM, DEFAULT_TURN } from '../../emu/machine.js';
import { guestSpecOf } from '../../src/lab/guest-spec.js';
import { openSchedule } from '../../src/lab/open-schedule.js';
import { replay } from '../../src/lab/replay.js';
import { doUnits, openSweep, type SweepJob } from '../../src/lab/sweep.js';
import { formatSchedule, parseSchedule } from '../../src/schedule/schedule.js';
import type { Question } from '../../src/sweep/question.js';
import {
  addWork,
  breachesOf,
  emptyReport,
  mergeReports,
  type SweepReport,
  scheduleOf,
  verdictOf,
} from '../../src/sweep/report.js';
import { formatReport, parseReport } from '../../src/sweep/report-file.js';

const isBuilt = existsSync('build/kernel-v6.19.elf');
const note = isBuilt ? '' : ' (skipped: not built)';

interface Case {
  readonly kernel: string;
  readonly question: Partial<Question> & Pick<Question, 'from'>;
  readonly program?: string;
  readonly cpus?: number;
}

const SAMPLED = 'trace=perf,ftrace perf.source=nmi';

function jobOf({ kernel, question, program = '@roundtrip,6', cpus = 1 }: Case): SweepJob {
  return {
    guest: guestSpecOf(
      { image: `@kernel-${kernel}`, modules: [program], commandLine: SAMPLED },
      { cpus, ram: DEFAULT_RAM, turn: DEFAULT_TURN },
    ),
    question: {
      to: undefined,
      occurrence: 1,
      cpu: 0,
      injection: { kind: 'nmi' },
      depth: 1,
      bound: 200_000,
      prune: true,
      ...question,
    },
    monitor: undefined,
    budget: DEFAULT_BUDGET,
  };
}

async function sweep(job: SweepJob, isMine: (unit: number) => boolean = () => true): Promise<SweepReport> {
  const { sweep, head, close } = await openSweep(job);
  try {
    let report = emptyReport(head);
    const units = Array.from({ length: head.units }, (_, unit) => unit).filter(isMine);
    for await (const work of doUnits(sweep, units, { keepGoing: true, budget: DEFAULT_BUDGET }))
      report = addWork(report, work);
    return report;
  } finally {
    close();
  }
}

const NMI = { kind: 'nmi' } as const;
const IRQ = { kind: 'irq', vector: 0xec } as const;
const PROBE = { kind: 'call', symbol: 'trace_probe' } as const;
const RESCHEDULE = { kind: 'call', symbol: 'reschedule_probe' } as const;

const WINDOWS: readonly Case[] = [
  { kernel: 'v13-06-nmi', question: { from: 'unwind_deferred_request', injection: NMI } },
  { kernel: 'v13-06-nmi', question: { from: 'unwind_deferred_task_work', injection: PROBE, occurrence: 2 } },
  { kernel: 'v6.17', question: { from: 'unwind_reset_info', to: 'user', injection: NMI, occurrence: 3 } },
  { kernel: 'v6.17', question: { from: 'get_cookie', injection: PROBE } },
  { kernel: 'v6.19', question: { from: 'unwind_deferred_request', injection: NMI, occurrence: 2 } },
  { kernel: 'v6.19', question: { from: 'unwind_reset_info', to: 'user', injection: NMI, occurrence: 3 } },
  { kernel: 'v6.19', question: { from: 'unwind_reset_info', to: 'user', injection: IRQ, occurrence: 3 } },
  { kernel: 'v6.19', question: { from: 'exit_to_user_loop', injection: RESCHEDULE }, program: '@contention' },
  { kernel: 'v6.19', question: { from: 'get_cookie', injection: NMI, depth: 2 } },
  {
    kernel: 'v6.19',
    question: { from: 'unwind_deferred_cancel', injection: NMI, cpu: 1 },
    program: '@tracers',
    cpus: 2,
  },
  {
    kernel: 'v6.17',
    question: { from: 'unwind_deferred_cancel', injection: IRQ, cpu: 1 },
    program: '@tracers',
    cpus: 2,
  },
];

const nameOf = ({ kernel, question: { from, injection, depth } }: Case): string =>
  `${kernel}, ${from}, ${injection?.kind}${depth === undefined ? '' : `, depth ${depth}`}`;

describe.skipIf(!isBuilt)(`what is left out${note}`, () => {
  it.each(WINDOWS.map((each) => [nameOf(each), each] as const))(
    'changes nothing: %s',
    { timeout: 300_000 },
    async (_, each) => {
      const job = jobOf(each);
      const [pruned, whole] = [
        await sweep(job),
        await sweep({ ...job, question: { ...job.question, prune: false } }),
      ];
      expect(pruned.tally.runs).toBeLessThan(whole.tally.runs);
      expect(verdictOf(pruned)).toBe(verdictOf(whole));
      expect(Object.keys(pruned.tally.states).sort()).toEqual(Object.keys(whole.tally.states).sort());
      expect(Object.keys(pruned.tally.breaches).sort()).toEqual(Object.keys(whole.tally.breaches).sort());
      const { levels } = whole.tally;
      expect(levels.map(({ skipped }) => skipped.registers + skipped.blocked)).toEqual(levels.map(() => 0));
      expect(pruned.tally.levels[0]!.boundaries).toBe(levels[0]!.boundaries);
    },
  );
});

const BROKEN: readonly Case[] = [
  { kernel: 'v13-06-nmi', question: { from: 'unwind_deferred_request', to: 'user' } },
  { kernel: 'v6.19', question: { from: 'unwind_reset_info', to: 'user', occurrence: 3 } },
  { kernel: 'v6.17', question: { from: 'unwind_reset_info', to: 'user', occurrence: 3, injection: PROBE } },
  { kernel: 'v6.19', question: { from: 'unwind_reset_info', occurrence: 3, depth: 2 } },
];

describe.skipIf(!isBuilt)(`a breach${note}`, () => {
  it.each(BROKEN.map((each) => [nameOf(each), each] as const))(
    'is replayed by its schedule: %s',
    { timeout: 300_000 },
    async (_, each) => {
      const job = jobOf(each);
      const report = await sweep(job);
      const breaches = breachesOf(report);
      expect(breaches.length).toBeGreaterThan(0);
      const open = await openSweep(job);
      for (const { ids, simplest } of breaches) {
        const schedule = parseSchedule(formatSchedule(scheduleOf(report, simplest)));
        expect(schedule.breaks).toEqual(ids);
        const { machine } = await openSchedule(schedule);
        const result = await replay(machine, schedule);
        machine.close();
        expect(result).toEqual({ kind: 'same', end: schedule.end });
        expect(open.sweep.run(simplest.strikes)).toEqual(simplest);
      }
      open.close();
    },
  );

  it('is made simple: the sweep that ends at the first one names the latest point', async () => {
    const job = jobOf(BROKEN[1]!);
    const all = breachesOf(await sweep(job));
    const { sweep: opened, close } = await openSweep(job);
    const [first] = breachesOf({ tally: (await firstBreach(opened))! });
    close();
    expect(all.map(({ simplest }) => simplest.strikes)).toContainEqual(first!.simplest.strikes);
  });
});

async function firstBreach(opened: Awaited<ReturnType<typeof openSweep>>['sweep']) {
  const units = Array.from({ length: opened.units }, (_, unit) => unit);
  for await (const { tally } of doUnits(opened, units, { keepGoing: false, budget: DEFAULT_BUDGET }))
    if (Object.keys(tally.breaches).length > 0) return tally;
  return undefined;
}

describe.skipIf(!isBuilt)(`the same sweep${note}`, () => {
  const job = isBuilt
    ? jobOf({ kernel: 'v6.19', question: { from: 'unwind_reset_info', occurrence: 3, depth: 2 } })
    : undefined!;
  const text = (report: SweepReport): string => formatReport({ ...report, seconds: 0 });

  it('in shards, merged in any order', async () => {
    const whole = await sweep(job);
    const shards = await Promise.all([0, 1, 2].map((index) => sweep(job, (unit) => unit % 3 === index)));
    expect(shards.map(verdictOf).every((verdict) => verdict !== 'PASS')).toBe(true);
    const [one, two, three] = shards.map((shard) => parseReport(formatReport(shard)));
    expect(text(mergeReports([one!, two!, three!]))).toBe(text(whole));
    expect(text(mergeReports([three!, one!, two!]))).toBe(text(whole));
    expect(() => mergeReports([one!, two!, one!])).toThrow(/shards that share no boundary/);
  });

  it('on two CPUs, made twice', { timeout: 120_000 }, async () => {
    const two = jobOf({
      kernel: 'v6.19',
      question: { from: 'unwind_deferred_cancel', cpu: 1 },
      program: '@tracers',
      cpus: 2,
    });
    const [once, twice] = [await sweep(two), await sweep({ ...two, isChecked: true })];
    expect(text(twice)).toBe(text(once));
  });
});

describe.runIf(isBuilt)(`a CPU whose tasks go elsewhere${note}`, () => {
  it('is at rest when it sleeps with nothing left to do, and does not hold up the sweep', async () => {
    const question = { from: 'unwind_deferred_task_work', occurrence: 3, bound: 60_000 };
    const job = jobOf({ kernel: 'v6.19', program: '@tracers', cpus: 2, question });
    const report = await sweep({ ...job, guest: { ...job.guest, turn: 100 } }, (unit) => unit % 250 === 0);
    expect(report.tally.runs).toBeGreaterThan(2);
    expect(breachesOf(report)).toEqual([]);
    expect(Object.keys(report.tally.states).some((state) => state.startsWith('budget'))).toBe(true);
  });
});
