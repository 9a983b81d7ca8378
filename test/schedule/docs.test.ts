/** docs/schedules.md: its example runs, its tables are complete, its words are those of the code. */
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { EVENT_KINDS } from '../../emu/event-words.js';
import { openSchedule } from '../../src/lab/open-schedule.js';
import { replay } from '../../src/lab/replay.js';
import { formatChoice, formatSchedule, parseChoice, parseSchedule } from '../../src/schedule/schedule.js';

const text = readFileSync('docs/schedules.md', 'utf8');
const rows = (heading: string): string[][] => {
  const table = text
    .slice(text.indexOf(`\n| ${heading} |`))
    .trimStart()
    .split('\n\n')[0]!;
  return table
    .split('\n')
    .slice(2)
    .map((row) =>
      row
        .split('|')
        .slice(1, -1)
        .map((cell) => cell.trim()),
    );
};
const code = (cell: string): string => cell.replaceAll('`', '');

it('shows a schedule that runs', async () => {
  const [, line] = /^(unwindlab\/1 .*)$/m.exec(text)!;
  const schedule = parseSchedule(line!);
  expect(formatSchedule(schedule)).toBe(line);
  const { machine } = await openSchedule(schedule);
  let strikes = 0;
  machine.events.on('nmi', () => strikes++);
  expect(await replay(machine, schedule)).toMatchObject({ kind: 'same', end: { kind: 'poweroff' } });
  expect(strikes).toBe(1);
  machine.close();
});

it('has an example of each choice', () => {
  const examples = rows('choice').map(([, example]) => code(example!));
  expect(examples.map((example) => formatChoice(parseChoice(example)))).toEqual(examples);
  const kinds = new Set(examples.map((example) => parseChoice(example).kind));
  expect([...kinds].sort()).toEqual(['call', 'cpu', 'deliver', 'input', 'irq', 'nmi', 'run']);
});

it('has each word of the line', () => {
  const digest = '0123456789abcdef';
  const line = formatSchedule({
    guest: {
      image: { name: 'kernel', digest },
      modules: [{ name: 'program', digest }],
      initrd: { name: 'disk', digest },
      commandLine: 'quiet',
      format: 'pvh',
      machine: 'pc',
      devices: { hpet: false },
      cpus: 1,
      ram: 4 << 20,
      turn: 1,
      patches: [{ at: 'here', bytes: 1, with: 'nop' }],
      drained: true,
    },
    choices: [],
    end: { kind: 'hang', retired: 1, hash: digest },
    breaks: ['one'],
  });
  const written = [...line.matchAll(/ (\w+)=/g)].map(([, key]) => key);
  expect(rows('word').map(([word]) => code(word!).split('=')[0])).toEqual(written);
});

it('names each kind of event', () => {
  const [, , kinds] = rows("word of an event's line").find(([word]) => word === 'kind')!;
  expect([...kinds!.matchAll(/`(\w+)`/g)].map(([, kind]) => kind)).toEqual(EVENT_KINDS);
});
