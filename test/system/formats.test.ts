/** Images of every format on the command line: found or forced, with their files, recorded and replayed. */
import { afterAll, describe, expect, it } from 'vitest';
import { EXIT_STATUS } from '../../src/cli/errors.js';
import { missingTools, toolsNote, Workshop } from '../boot/build-elf.js';
import { linuxImage } from '../boot/linux-guest.js';
import { buildGuest } from '../boot/multiboot-guest.js';
import { KERNEL, program, unwindlab } from './run.js';

const shop = new Workshop();
afterAll(() => shop.remove());
const HALT = Uint8Array.of(0xf4);
/** What the multiboot guest ends with. */
const STATUS = (0x10 << 1) | 1;

describe('unwindlab boot', () => {
  it('gives a PVH kernel its initrd as the first module, as QEMU does', async () => {
    const files = ['--initrd', program('hello'), '--append', 'init=hello'];
    const found = await unwindlab(['boot', KERNEL, ...files]);
    expect(found).toEqual(await unwindlab(['boot', KERNEL, '--module', program('hello')]));
    expect(found.stdout).toContain('hello, world');
    expect(await unwindlab(['boot', KERNEL, '--format', 'pvh', ...files])).toEqual(found);
  });

  it('names the formats in its help, and when it is given another one', async () => {
    const { stdout } = await unwindlab(['boot', '--help']);
    for (const word of ['--initrd', '"linux", "multiboot", "pvh", "multiboot2"'])
      expect(stdout.replace(/\s+/g, ' ')).toContain(word);
    const { status, stderr } = await unwindlab(['boot', KERNEL, '--format', 'elf']);
    expect(status).toBe(EXIT_STATUS.usage);
    expect(stderr).toContain('linux, multiboot, pvh, multiboot2');
  });

  it.each<[string, string[], RegExp]>([
    [
      'a format that the image does not have',
      [KERNEL, '--format', 'linux'],
      /kernel\.elf: expected a Linux image \(/,
    ],
    [
      'an initrd that is not there',
      [KERNEL, '--initrd', 'no-such-file'],
      /no-such-file, found no such file$/,
    ],
    ['modules for Linux', [shop.write('bzImage', linuxImage(HALT)), '-m', KERNEL], /with --initrd$/],
    ['more than the RAM for Linux', [shop.write('bzImage', linuxImage(HALT)), '--ram', '16M'], /with --ram$/],
  ])('refuses %s in one sentence', async (_, args, sentence) => {
    const { status, stderr, stdout } = await unwindlab(['boot', ...args]);
    expect(stdout).toBe('');
    expect(stderr.trimEnd()).toMatch(/^unwindlab: (?!internal)[^\n]*$/);
    expect(stderr.trimEnd()).toMatch(sentence);
    expect([EXIT_STATUS.badImage, EXIT_STATUS.io]).toContain(status);
  });
});

describe.skipIf(missingTools.length > 0)(`a run of another format${toolsNote}`, () => {
  it('is recorded and replayed with its files and its format', async () => {
    const build = { version: 1, file: 'flat', defines: ['ADDRESSES'] } as const;
    shop.write('kernel.bin', buildGuest(shop, 'flat', build));
    shop.write('disk.img', 'a disk');
    shop.write('notes.txt', 'some notes');
    const inFolder = { cwd: shop.folder };
    const files = ['--initrd', 'disk.img', '-m', 'notes.txt,a b', '--append', 'x=1'];
    const run = ['boot', 'kernel.bin', '--format', 'multiboot', ...files, '--record', 'run.rec'];
    const { stdout, status } = await unwindlab(run, inFolder);
    expect(status).toBe(STATUS);
    expect(stdout).toContain('command line "kernel.bin x=1"');
    expect(stdout).toContain('module "disk.img" bytes 6 ');
    expect(stdout).toContain('module "notes.txt a b" bytes a ');

    const line = Buffer.from(shop.read('run.rec')).toString().split('\n')[0]!;
    expect(line).toMatch(/ initrd=disk\.img#[0-9a-f]{16} append=x=1 format=multiboot /);
    const replayed = await unwindlab(['replay', 'run.rec'], inFolder);
    expect(replayed).toMatchObject({ stdout, status: 0 });

    shop.write('disk.img', 'another');
    const refused = await unwindlab(['replay', 'run.rec'], inFolder);
    expect(refused.status).toBe(EXIT_STATUS.badImage);
    expect(refused.stderr).toMatch(/disk\.img: expected the file of the schedule/);
  });
});
