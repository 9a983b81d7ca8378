/**
 * `unwindlab setup`: fetches libunicorn from the machine's own Debian mirror into the cache folder, without root and without
 * touching the system: a private apt state whose only source is that mirror and the suite that has the library.
 */
import { spawnSync } from 'node:child_process';
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { Command } from 'commander';
import { cachedLibraryPath, EngineError, findLibrary, LIBRARY_VARIABLE } from '../../emu/engine/library.js';

const PACKAGE = 'libunicorn2t64';
const DEFAULT_SUITE = 'trixie';
const LIBRARY_FILE = /^libunicorn\.so\.2/;

interface SetupOptions {
  suite: string;
  to?: string;
  force?: boolean;
}

export function setupCommand(): Command {
  return new Command('setup')
    .description('fetch libunicorn into the cache folder, where none is installed')
    .option('--suite <name>', 'Debian suite to take it from', DEFAULT_SUITE)
    .option('--to <file>', 'where to put it (default: the cache folder)')
    .option('--force', 'fetch even if a usable one is there')
    .addHelpText(
      'after',
      `\nLooked for in this order: $${LIBRARY_VARIABLE}, the system's library, the private copy:\n  ${cachedLibraryPath()}\n`,
    )
    .action(setup);
}

function setup(options: SetupOptions): void {
  if (!options.force && options.to === undefined) {
    const present = usable();
    if (present !== undefined) {
      process.stdout.write(`libunicorn ${present.version} (${present.path})\n`);
      return;
    }
  }
  const target = options.to ?? cachedLibraryPath();
  fetchLibrary(options.suite, target);
  process.stdout.write(`libunicorn from Debian ${options.suite} -> ${target}\n`);
  if (options.to === undefined) findLibrary();
}

function usable(): { version: string; path: string } | undefined {
  try {
    return findLibrary();
  } catch (error) {
    if (error instanceof EngineError) return undefined;
    throw error;
  }
}

function fetchLibrary(suite: string, target: string): void {
  const state = mkdtempSync(join(tmpdir(), 'unwindlab-setup-'));
  try {
    for (const folder of ['lists/partial', 'cache/archives/partial'])
      mkdirSync(join(state, folder), { recursive: true });
    const sources = join(state, 'sources.list');
    writeFileSync(sources, `deb ${debianMirror()} ${suite} main\n`);
    const privately = [
      ['Dir::Etc::sourcelist', sources],
      ['Dir::Etc::sourceparts', '/dev/null'],
      ['Dir::State::Lists', join(state, 'lists')],
      ['Dir::Cache', join(state, 'cache')],
      ['Dir::State::status', '/dev/null'],
      ['APT::Sandbox::User', ''],
    ].flatMap(([key, value]) => ['-o', `${key}=${value}`]);
    run('apt-get', ['-qq', ...privately, 'update'], state);
    run('apt-get', ['-qq', ...privately, 'download', PACKAGE], state);
    const archive = readdirSync(state).find((name) => name.endsWith('.deb'));
    if (archive === undefined)
      throw new EngineError(`expected apt-get to download ${PACKAGE}, found no package file`);
    run('dpkg-deb', ['-x', archive, 'files'], state);
    const library = readdirSync(join(state, 'files'), { recursive: true, encoding: 'utf8' }).find((path) =>
      LIBRARY_FILE.test(path.split('/').at(-1)!),
    );
    if (library === undefined) throw new EngineError(`expected libunicorn.so.2 in ${archive}, found none`);
    mkdirSync(dirname(target), { recursive: true });
    copyFileSync(join(state, 'files', library), `${target}.new`);
    renameSync(`${target}.new`, target);
  } finally {
    rmSync(state, { recursive: true, force: true });
  }
}

/** The machine's own mirror, which apt knows before its first update. */
function debianMirror(): string {
  const targets = ['indextargets', '--no-release-info', '--format', '$(REPO_URI)', 'Created-By: Packages'];
  const mirrors = run('apt-get', targets, '/').trim().split('\n');
  const mirror = mirrors.find((uri) => uri !== '' && !/security/.test(uri));
  if (mirror === undefined)
    throw new EngineError(`expected a Debian mirror in apt's sources, found none; ${byHand()}`);
  return mirror;
}

function run(command: string, args: readonly string[], cwd: string): string {
  const { status, stdout, stderr, error } = spawnSync(command, args, { cwd, encoding: 'utf8' });
  if (error !== undefined)
    throw new EngineError(`expected ${command} on this machine, found none; ${byHand()}`);
  if (status === 0) return stdout;
  const reason = stderr.trim().split('\n').at(-1) ?? '';
  throw new EngineError(
    `expected "${command} ${args.at(-1)}" to succeed, found status ${status} (${reason}); ${byHand()}`,
  );
}

const byHand = (): string =>
  `install libunicorn >= 2.1 with your package manager, or set ${LIBRARY_VARIABLE} to a libunicorn.so.2`;
