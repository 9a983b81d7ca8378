/** Reports as files: damage is told in a sentence, and what does not add up is refused. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { reportText } from '../../src/cli/sweep-text.js';
import {
  addRanges,
  emptyReport,
  mergeReports,
  ReportError,
  type SweepReport,
  type UnitRange,
  verdictOf,
} from '../../src/sweep/report.js';
import { formatReport, parseReport } from '../../src/sweep/report-file.js';

const SEED = 3;
const RUN = {
  strikes: [{ at: 2, delivered: false }],
  state: 'user !once',
  violations: [{ id: 'once', sentence: 'expected one call, found two', cpu: 0, time: 12 }],
  retired: 40,
  end: 'user',
  hash: '0123456789abcdef',
};

/** Of a window of 3 boundaries: the undisturbed run, two that were struck, one of which breaks something, and one left out. */
const REPORT: SweepReport = {
  ...emptyReport({
    guest: {
      image: { name: '@kernel', digest: '0123456789abcdef' },
      modules: [{ name: '@hello', digest: undefined }],
      commandLine: 'trace=perf',
      cpus: 1,
      ram: 1 << 26,
      turn: 2000,
      patches: [{ at: 'a+0x1', bytes: 2, with: 'nop' }],
    },
    question: {
      from: 'a',
      to: 'b',
      occurrence: 1,
      cpu: 0,
      injection: { kind: 'irq', vector: 64 },
      depth: 1,
      bound: 1000,
      prune: true,
    },
    monitor: 'unwind',
    start: { retired: 1000, delivered: false },
    units: 4,
  }),
  done: [[0, 3]],
  tally: {
    levels: [
      { boundaries: 3, injected: 2, held: 1, skipped: { registers: 1, blocked: 0, same: 0, uncallable: 0 } },
    ],
    runs: 3,
    instructions: 120,
    states: { 'user fine': { runs: 2, first: [] }, 'user !once': { runs: 1, first: RUN.strikes } },
    breaches: { once: { ids: ['once'], runs: 1, simplest: RUN } },
    cut: false,
  },
  seconds: 0.25,
};
const TEXT = formatReport(REPORT);

const changed = (
  change: (report: { -readonly [Key in keyof SweepReport]: SweepReport[Key] }) => void,
): string => {
  const copy = structuredClone(REPORT);
  change(copy);
  return JSON.stringify(copy);
};
type Loose = Record<string, never>;

describe('a report', () => {
  it('is read as it was written', () => {
    expect(formatReport(parseReport(TEXT))).toBe(TEXT);
    expect(verdictOf(parseReport(TEXT))).toBe('FAIL');
  });

  it('is read with a kind of machine and its devices', () => {
    const text = changed((r) => Object.assign(r.guest, { machine: 'pc', devices: { hpet: false } }));
    expect(parseReport(text).guest).toMatchObject({ machine: 'pc', devices: { hpet: false } });
  });

  it('has one text, in whatever order its states were found', () => {
    const states = Object.fromEntries(Object.entries(REPORT.tally.states).reverse());
    expect(formatReport({ ...REPORT, tally: { ...REPORT.tally, states } })).toBe(TEXT);
  });

  it.each<[string, string, RegExp]>([
    ['no JSON', 'hello', /found no JSON$/],
    ['nothing', '', /found no JSON$/],
    ['null', 'null', /of format unwindlab-sweep\/1, found none$/],
    ['another format', '{"format":"perf"}', /of format unwindlab-sweep\/1, found none$/],
    ['half of it', `${TEXT.slice(0, TEXT.length / 2)}`, /found no JSON$/],
    [
      'a part missing',
      changed((r) => delete (r as unknown as Loose)['tally']),
      /expected the report\.tally to be an object, found nothing/,
    ],
    [
      'a device that its machine cannot have',
      changed((r) => Object.assign(r.guest, { devices: { hpet: true } })),
      /expected a device that a microvm can have .*, found "hpet"/,
    ],
    [
      'a device that is neither on nor off',
      changed((r) => Object.assign(r.guest, { devices: { fw_cfg: 'on' } })),
      /guest\.devices to be true or false, found "on"/,
    ],
    ['a part too many', changed((r) => Object.assign(r, { x: 1 })), /expected no "x" in the report/],
    [
      'text for a number',
      changed((r) => Object.assign(r, { units: '4' })),
      /expected the report\.units to be a whole number, found "4"/,
    ],
    [
      'a negative count',
      changed((r) => {
        r.tally.runs = -3;
      }),
      /tally\.runs to be a whole number, found -3/,
    ],
    [
      'another injection',
      changed((r) => Object.assign(r.question, { injection: { kind: 'smi' } })),
      /injection\.kind to be "nmi" or "irq" or "call", found "smi"/,
    ],
    [
      'a vector out of range',
      changed((r) => Object.assign(r.question, { injection: { kind: 'irq', vector: 3 } })),
      /vector to be a whole number from 16 to 255/,
    ],
    [
      'a depth out of range',
      changed((r) => Object.assign(r.question, { depth: 9 })),
      /depth to be a whole number from 1 to 3/,
    ],
    [
      'a wrong digest',
      changed((r) => Object.assign(r.guest.image, { digest: 'x' })),
      /image\.digest to be 16 hexadecimal digits/,
    ],
    [
      'more boundaries than were struck or left out',
      changed((r) => {
        r.tally.levels[0]!.boundaries = 4;
      }),
      /expected 3 boundaries by/,
    ],
    [
      'more runs than strikes',
      changed((r) => {
        r.tally.runs = 7;
      }),
      /expected 3 runs by .*, found 7/,
    ],
    [
      'fewer ends than runs',
      changed((r) => {
        r.tally.states['user fine']!.runs = 1;
      }),
      /expected 3 runs by end state .*, found 2/,
    ],
    [
      'more held than struck',
      changed((r) => {
        r.tally.levels[0]!.held = 3;
      }),
      /no more held than injected/,
    ],
    [
      'units that are not there',
      changed((r) => {
        r.units = 3;
      }),
      /ranges of units below 3/,
    ],
    [
      'units twice',
      changed((r) => {
        r.done = [
          [0, 1],
          [1, 2],
        ];
      }),
      /ascending/,
    ],
    [
      'units that were not counted',
      changed((r) => {
        r.done = [[0, 1]];
      }),
      /expected 1 boundaries of the window/,
    ],
    [
      'levels of another depth',
      changed((r) => Object.assign(r.question, { depth: 2 })),
      /expected 2 levels by/,
    ],
  ])('is refused with %s', (_, text, sentence) => {
    expect(() => parseReport(text)).toThrow(ReportError);
    expect(() => parseReport(text)).toThrow(sentence);
  });

  it('survives no damage without a word: 1000 flipped bits and cuts', async () => {
    const accepted: SweepReport[] = [];
    const bytes = Buffer.from(TEXT);
    const damage = fc.record({ at: fc.nat(bytes.length - 1), bit: fc.nat(7), cut: fc.boolean() });
    fc.assert(
      fc.property(damage, ({ at, bit, cut }) => {
        const damaged = Buffer.from(cut ? bytes.subarray(0, at) : bytes);
        if (!cut) damaged[at]! ^= 1 << bit;
        try {
          accepted.push(parseReport(damaged.toString('utf8')));
        } catch (error) {
          expect(error).toBeInstanceOf(ReportError);
          expect((error as Error).message).toMatch(/^expected [^\n]*, found [^\n]*$/);
        }
      }),
      { numRuns: 1000, seed: SEED },
    );
    // What is left are names and sentences with another letter in them, and numbers that nothing else tells.
    expect(accepted.length).toBeLessThan(500);
    for (const report of accepted) expect(await reportText(report)).toContain('FAIL');
  });
});

describe('reports', () => {
  const half = (done: UnitRange[]): SweepReport => ({ ...REPORT, done });

  it('of several parts add up', () => {
    const sum = mergeReports([half([[0, 1]]), half([[3, 3]]), half([[2, 2]])]);
    expect(sum.done).toEqual([[0, 3]]);
    expect(sum.tally).toMatchObject({
      runs: 9,
      instructions: 360,
      levels: [{ boundaries: 9, injected: 6, held: 3 }],
    });
    expect(sum.tally.breaches['once']).toMatchObject({ runs: 3, simplest: RUN });
    expect(sum.seconds).toBe(0.75);
    expect(REPORT.tally.runs).toBe(3);
  });

  it('that overlap are refused', () => {
    expect(() => mergeReports([half([[0, 2]]), half([[2, 3]])])).toThrow(/share no boundary/);
    expect(() => mergeReports([])).toThrow(/expected a report to merge, found none/);
  });

  it.each<[string, Partial<SweepReport>]>([
    ['guest', { guest: { ...REPORT.guest, commandLine: '' } }],
    ['question', { question: { ...REPORT.question, bound: 7 } }],
    ['monitor', { monitor: null }],
    ['start', { start: { retired: 7, delivered: false } }],
    ['units', { units: 9 }],
  ])('of another %s are refused', (part, other) => {
    expect(() => mergeReports([half([[0, 1]]), { ...half([[2, 3]]), ...other }])).toThrow(
      `expected reports of one sweep, found another ${part}`,
    );
  });

  it('ranges add up, or overlap', () => {
    expect(
      addRanges(
        [
          [0, 2],
          [6, 6],
        ],
        [
          [3, 3],
          [5, 5],
        ],
      ),
    ).toEqual([
      [0, 3],
      [5, 6],
    ]);
    expect(addRanges([], [])).toEqual([]);
    expect(addRanges([[0, 4]], [[2, 2]])).toBeUndefined();
    const units = fc.uniqueArray(fc.nat(30), { maxLength: 20 });
    fc.assert(
      fc.property(units, units, (a, b) => {
        const ranges = (list: number[]): UnitRange[] =>
          list.reduce<UnitRange[]>((sum, unit) => addRanges(sum, [[unit, unit]])!, []);
        const sum = addRanges(ranges(a), ranges(b));
        if (a.some((unit) => b.includes(unit))) expect(sum).toBeUndefined();
        else expect(sum).toEqual(ranges([...a, ...b]));
      }),
      { seed: SEED },
    );
  });
});

describe('the verdict', () => {
  const clean = { ...REPORT, tally: { ...REPORT.tally, breaches: {} } };
  it.each<[string, SweepReport, string]>([
    ['all done, nothing broken', clean, 'PASS'],
    ['something broken', REPORT, 'FAIL'],
    ['a unit missing', { ...clean, done: [[1, 3]] }, 'UNKNOWN'],
    ['a window that is cut', { ...clean, tally: { ...clean.tally, cut: true } }, 'UNKNOWN'],
    [
      'nothing struck',
      { ...clean, tally: { ...clean.tally, levels: [{ ...clean.tally.levels[0]!, injected: 0 }] } },
      'UNKNOWN',
    ],
  ])('%s', async (_, report, verdict) => {
    expect(verdictOf(report)).toBe(verdict);
    expect((await reportText(report)).split('\n').at(-2)).toMatch(new RegExp(`^${verdict}: `));
  });
});
