/** A story as text: nesting, folds, changes, and the end. */
import { beforeAll, describe, expect, test } from 'vitest';
import type { Story } from '../../src/explain/story.js';
import { storyLines } from '../../src/explain/text.js';
import { explain } from '../../src/lab/explain.js';
import { raceL } from './race-l.js';

const WIDTH = 100;

describe('race L', () => {
  let story: Story;
  let lines: readonly string[];
  beforeAll(async () => {
    story = await explain(await raceL());
    lines = storyLines(story);
  });
  /** Where the first line is that has this in it. */
  const lineOf = (text: string | RegExp): number => {
    const index = lines.findIndex((line) =>
      typeof text === 'string' ? line.includes(text) : text.test(line),
    );
    expect(index, `a line with ${text}`).toBeGreaterThanOrEqual(0);
    return index;
  };

  test('fits a mail', () => {
    expect(lines.length).toBeLessThan(140);
    for (const line of lines) expect(line.length).toBeLessThanOrEqual(WIDTH);
  });

  test('a change stands below the instruction that made it', () => {
    const change = lineOf('mask: USED|ftrace -> 0');
    expect(lines[change - 1]).toMatch(
      /^ +\d+ │ │ unwind_reset_info\+0x\w+ +lock cmpxchgq %rdx,0x288\(%rcx\) +v6\.19\.S:\d+$/,
    );
  });

  test('the choice stands behind it, then the NMI, one level deeper', () => {
    const choice = lineOf('>>> nmi:0: an NMI is raised at CPU 0');
    expect(lines[choice - 1]).toContain('mask: USED|ftrace -> 0');
    expect(lines[choice + 1]).toMatch(/^ +│ │ NMI$/);
    expect(lines[choice + 2]).toMatch(/^ +\d+ │ │ │ asm_exc_nmi /);
    expect(lineOf('back in system call gettid')).toBeGreaterThan(choice);
  });

  test('what tells nothing is one line with the routines it runs through', () => {
    expect(lines[lineOf('asm_exc_nmi, do_nmi')]).toMatch(
      /^ +\d+ │ │ │ … \d+ instructions: asm_exc_nmi, do_nmi, perf_nmi/,
    );
  });

  test('the verdict stands at its step and at the end, in a sentence', () => {
    expect(lines[lineOf('!!! cookie-not-zero: expected') - 1]).toContain(
      '* perf is called with cookie 0, 2 frames',
    );
    const end = lineOf('Broken:');
    expect(lines[end - 2]).toBe('The end: the schedule ends here.');
    expect(lines.slice(end + 1).join(' ')).toMatch(/^ {2}cookie-not-zero: expected .* found +0\.$/);
  });

  test('in full, every instruction has a line', () => {
    const full = storyLines(story, { full: true });
    expect(full.join('\n')).not.toMatch(/… \d+ instructions:/);
    expect(full.length).toBeGreaterThan(story.steps.length);
  });

  test('is coloured by the paint that it is given, and by none of its own', () => {
    const tagged = (name: string) => (text: string) => `<${name}>${text}</${name}>`;
    const [context, choice, change, note, broken, faint] = ['a', 'b', 'c', 'd', 'e', 'f'].map(tagged);
    const paint = {
      context: context!,
      choice: choice!,
      change: change!,
      note: note!,
      broken: broken!,
      faint: faint!,
    };
    const painted = storyLines(story, { paint });
    expect(painted.map((line) => line.replace(/<\/?[a-f]>/g, '').trimEnd())).toEqual(lines);
    expect(painted.join('\n')).toContain('<c>mask: USED|ftrace -> 0</c>');
  });
});

test('with two CPUs, a line says which one goes on, and in what', async () => {
  const lines = storyLines(await explain(await raceL({ cpus: 2 })));
  expect(lines.some((line) => /^── CPU 0, user, system call gettid ─+$/.test(line))).toBe(true);
  expect(lines.some((line) => /^── CPU 1, user, system call gettid ─+$/.test(line))).toBe(true);
});
