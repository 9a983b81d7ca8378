/**
 * Debian unstable's kernel, which has deferred unwinding, boots to a shell and powers off, and the perf of the same version samples an own
 * program in it. Each sample is printed with the user stack that the kernel has walked later, under the cookie that stood in the sample; this
 * house's own reader and stitcher make the same of the recording, to the byte.
 */
import { afterAll, describe, expect, test } from 'vitest';
import { readPerfData } from '../../src/trace/perf-data.js';
import { stitchAsPerf } from '../../src/unwind/stitch.js';
import { Scratch } from '../system/run.js';
import { printedAsPerf } from '../trace/as-perf.js';
import { answer, BRIEF, guest, typeAt, versioned } from './boot.js';

const KERNELS = { PVH: versioned('vmlinux'), bzImage: versioned('vmlinuz') } as const;
const COMPLAINTS = /BUG:|WARNING:|Oops|unchecked MSR|TSC warp/;

/** The stacks that guest-user/layers.c states. */
const LAYERS = 'inner middle outer rounds main _start';
const [SPIN, ASK, TOUCH] = ['spin', 'ask', 'touch'].map((part) => `${part} ${LAYERS}`) as [
  string,
  string,
  string,
];

const scratch = new Scratch();
afterAll(() => scratch.remove());

const type = (kernel: string, append: string, lines: readonly string[]) =>
  typeAt(scratch, { kernel, initrd: guest('perf-initrd'), ram: '1G', append }, [...lines, 'poweroff -f']);

describe.skipIf(KERNELS.PVH === undefined)(
  'Linux of Debian unstable (skipped without it: make guests)',
  () => {
    test.each(BRIEF ? (['PVH'] as const) : (['PVH', 'bzImage'] as const))(
      'by %s it boots to a shell and powers off',
      async (way) => {
        const { stdout, stderr, status } = await type(KERNELS[way]!, '', ['uname -r', 'perf --version']);
        const version = /-(\d+\.\d+)$/.exec(KERNELS[way]!)![1]!;
        expect(answer(stdout, 'uname -r')).toMatch(new RegExp(`^${version}\\.\\d+\\S*-cloud-amd64\n$`));
        expect(answer(stdout, 'perf --version')).toMatch(/^perf version \d+\.\d+\.\d+\n$/);
        expect(stdout).not.toMatch(COMPLAINTS);
        expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
      },
    );

    test.skipIf(BRIEF)('perf prints each sample of cpu-clock with its deferred user stack', async () => {
      // A kernel that finds nothing to verify the time-stamp counter by keeps timers to its tick, unless it is told that it need not.
      const { stdout, stderr, status } = await type(KERNELS.PVH!, 'nokaslr', [
        'dmesg -n 1', // or a message of the kernel falls into perf's
        'cd /tmp',
        'perf record -N -B -e cpu-clock -F 1000 --call-graph fp,defer -- layers 400',
        'cd /',
        'perf script -i /tmp/perf.data',
        'base64 /tmp/perf.data',
      ]);
      expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
      expect(stdout).not.toMatch(COMPLAINTS);
      expect(stdout).not.toContain('switching off deferred callchain support');
      expect(stdout).toContain('\nrounds 400: 8000 calls, 6400 pages\n');

      const printed = answer(stdout, 'perf script -i /tmp/perf.data');
      const data = readPerfData(Buffer.from(answer(stdout, 'base64 /tmp/perf.data'), 'base64'));
      expect(printedAsPerf(data, printed, stitchAsPerf())).toBe(printed);

      const samples = printed.trim().split('\n\n').map((text) => ({
      kernel: frames(text, '[kernel.kallsyms]'),
      user: frames(text, '/bin/layers'),
    })); // biome-ignore format: one step a line
      expect(samples.length).toBeGreaterThan(50);
      // What is left: samples of the program's start and end, and those that hit a function before it has its frame.
      const whole = samples.filter(({ user }) => [SPIN, ASK, TOUCH].includes(user));
      expect(whole.length).toBeGreaterThan(0.9 * samples.length);
      const below = (entry: string): Set<string> =>
        new Set(whole.filter(({ kernel }) => kernel.endsWith(entry)).map(({ user }) => user));
      expect(whole.filter(({ kernel, user }) => kernel === '' && user === SPIN)).not.toEqual([]);
      expect(below(' entry_SYSCALL_64_after_hwframe')).toContain(ASK);
      expect(below(' asm_exc_page_fault')).toEqual(new Set([TOUCH]));
    });
  },
);

/** Names of the frames of a printed sample that lie in one object, innermost first. */
const frames = (text: string, object: string): string =>
  text
    .split('\n')
    .filter((line) => line.endsWith(`(${object})`))
    .map((line) => / (\S+)\+0x[0-9a-f]+ /.exec(line)![1])
    .join(' ');
