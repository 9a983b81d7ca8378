/**
 * The package as a user of npm gets it: packed, installed in an empty folder, and used with nothing but node in PATH.
 * Its dependencies come from npm's registry; where that cannot be reached, the tests are skipped and say so.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, symlinkSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, type TestContext } from 'vitest';
import { type Ended, run, Scratch } from './run.js';

const NPM = ['install', '--no-audit', '--no-fund', '--prefer-offline', '--loglevel=error'];
/** What npm says when it is the network's fault. */
const OFFLINE = /\b(ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|ENOTCACHED)\b/;

interface Packed {
  readonly filename: string;
  readonly files: readonly { readonly path: string }[];
}

/** A program of three lines that a user would write, with the compiler as strict as it goes. */
const PROGRAM = `import { Machine, type Outcome } from 'unwindlab';
const outcome: Outcome = new Machine({ cpus: 2 }).run({ budget: 1 });
process.stdout.write(outcome.kind + '\\n');
`;
const STRICT = {
  compilerOptions: {
    module: 'NodeNext',
    target: 'ES2023',
    strict: true,
    skipLibCheck: false,
    types: ['node'],
  },
  files: ['program.ts'],
};

describe('the packed package', () => {
  const scratch = new Scratch();
  const home = join(scratch.folder, 'home');
  const tools = join(scratch.folder, 'tools');
  let packed: Packed;
  let offline: string | undefined;

  beforeAll(() => {
    const packing = ['pack', '--json', '--pack-destination', scratch.folder, '--loglevel=error'];
    [packed] = JSON.parse(execFileSync('npm', packing, { encoding: 'utf8' })) as [Packed];
    for (const folder of [home, tools]) mkdirSync(folder);
    scratch.write('home/package.json', '{"type": "module", "private": true}');
    try {
      execFileSync('npm', [...NPM, join(scratch.folder, packed.filename)], {
        cwd: home,
        encoding: 'utf8',
        stdio: 'pipe',
      });
    } catch (error) {
      offline = OFFLINE.exec((error as { stderr: string }).stderr)?.[0];
      if (offline === undefined) throw error;
    }
    symlinkSync(process.execPath, join(tools, 'node'));
    symlinkSync('/bin/sh', join(tools, 'sh'));
  });
  afterAll(() => scratch.remove());

  const needsRegistry = ({ skip }: TestContext): void =>
    skip(offline !== undefined, `npm's registry cannot be reached: ${offline}`);

  /** Runs a program in the user's folder, where PATH leads to node and a shell, and to no compiler. */
  const user = (command: string, ...args: string[]): Promise<Ended> =>
    run(command, args, { cwd: home, env: { ...process.env, PATH: tools, npm_config_loglevel: 'error' } });

  it('holds compiled code, images and documents, and neither tests nor sources', () => {
    const paths = packed.files.map(({ path }) => path);
    for (const needed of ['LICENSE', 'dist/src/index.js', 'dist/src/index.d.ts', 'build/kernel.elf'])
      expect(paths).toContain(needed);
    expect(paths).toContain('build/user/hello.elf');
    const stray = paths.filter((path) =>
      /(^|\/)(test|bench|node_modules|obj)\/|(?<!\.d)\.ts$|\.lst$/.test(path),
    );
    expect(stray).toEqual([]);
  });

  it('gives an `unwindlab` that boots the images of the package', async (context) => {
    needsRegistry(context);
    const npx = join(dirname(process.execPath), 'npx');
    const { stdout, stderr, status } = await user(
      npx,
      '--no',
      'unwindlab',
      'boot',
      '@kernel',
      '-m',
      '@status,7',
    );
    expect({ stdout, stderr, status }).toEqual({
      stdout: expect.stringMatching(/^unwindlab kernel, /),
      stderr: '',
      status: (7 << 1) | 1,
    });
  });

  it('says which version it is', async (context) => {
    needsRegistry(context);
    const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };
    expect((await user('node_modules/.bin/unwindlab', '--version')).stdout).toBe(`${version}\n`);
  });

  it('gives a library that can be imported', async (context) => {
    needsRegistry(context);
    scratch.write(
      'home/library.mjs',
      `import { openGuest } from 'unwindlab';
      const { machine } = openGuest({ image: '@kernel', modules: ['@hello'] }, { cpus: 2 });
      console.log(machine.run().kind);`,
    );
    const { stdout, stderr } = await user('node', 'library.mjs');
    expect({ stdout, stderr }).toEqual({ stdout: 'poweroff\n', stderr: '' });
  });

  it("has types that the strictest compiler takes, down to its dependencies'", async (context) => {
    needsRegistry(context);
    scratch.write('home/program.ts', PROGRAM);
    scratch.write('home/tsconfig.json', JSON.stringify(STRICT));
    mkdirSync(join(home, 'node_modules/@types'), { recursive: true });
    for (const name of ['@types/node', 'undici-types'])
      symlinkSync(resolve('node_modules', name), join(home, 'node_modules', name));
    const compiled = await user('node', resolve('node_modules/typescript/bin/tsc'), '-p', '.');
    expect(compiled).toMatchObject({ stdout: '', stderr: '', status: 0 });
    expect((await user('node', 'program.js')).stdout).toBe('hang\n');
  });
});
