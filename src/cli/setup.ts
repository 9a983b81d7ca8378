/**
 * `unwindlab setup`: fetches libunicorn from the machine's own Debian mirror into the cache folder, without root and without
 * touching the system.
 */
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { Command } from 'commander';
import {
  cachedLibraryPath,
  EngineError,
  findLibrary,
  isRecent,
  LIBRARY_VARIABLE,
  type UnicornLibrary,
} from '../../emu/engine/library.js';
import { packagePath } from '../lab/packed.js';

const PACKAGE = 'libunicorn2t64';
/** The first Debian that has a recent one (`isRecent`). */
const DEFAULT_SUITE = 'forky';
const LIBRARY_FILE = /^libunicorn\.so\.2/;

interface SetupOptions {
  suite: string;
  to?: string;
  force?: boolean;
}

export function setupCommand(): Command {
  return new Command('setup')
    .description('fetch libunicorn into the cache folder, where no recent one is installed')
    .option('--suite <name>', 'Debian suite to take it from', DEFAULT_SUITE)
    .option('--to <file>', 'where to put it (default: the cache folder)')
    .option('--force', 'fetch even if a recent one is there')
    .addHelpText(
      'after',
      `\nLooked for in this order: $${LIBRARY_VARIABLE}, the system's library, the private copy:\n  ${cachedLibraryPath()}\n`,
    )
    .action(setup);
}

function setup(options: SetupOptions): void {
  const present = options.force || options.to !== undefined ? undefined : usable();
  if (present !== undefined && (isRecent(present) || process.env[LIBRARY_VARIABLE])) {
    process.stdout.write(`libunicorn ${present.version} (${present.path})\n`);
    return;
  }
  const target = options.to ?? cachedLibraryPath();
  try {
    fetchLibrary(options.suite, target);
  } catch (error) {
    if (present === undefined || !(error instanceof EngineError)) throw error;
    process.stderr.write(`unwindlab: ${error.message}\n`);
    process.stdout.write(
      `libunicorn ${present.version} (${present.path}), with which guests cannot run freely\n`,
    );
    return;
  }
  process.stdout.write(`libunicorn from Debian ${options.suite} -> ${target}\n`);
  if (options.to === undefined) findLibrary();
}

function usable(): UnicornLibrary | undefined {
  try {
    return findLibrary();
  } catch (error) {
    if (error instanceof EngineError) return undefined;
    throw error;
  }
}

/** By the script that fetches foreign images too: apt with a state of its own, in a folder of ours. */
function fetchLibrary(suite: string, target: string): void {
  const folder = mkdtempSync(join(tmpdir(), 'unwindlab-setup-'));
  try {
    fetchPackage(suite, folder);
    const library = readdirSync(folder, { recursive: true, encoding: 'utf8' }).find((path) =>
      LIBRARY_FILE.test(basename(path)),
    );
    if (library === undefined)
      throw new EngineError(`expected libunicorn.so.2 in ${PACKAGE}, found none; ${byHand()}`);
    mkdirSync(dirname(target), { recursive: true });
    copyFileSync(join(folder, library), `${target}.new`);
    renameSync(`${target}.new`, target);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function fetchPackage(suite: string, folder: string): void {
  const args = [packagePath('scripts/fetch-package'), '--suite', suite, PACKAGE];
  const { status, stderr, error } = spawnSync('sh', args, {
    encoding: 'utf8',
    env: { ...process.env, TMPDIR: folder },
  });
  if (status === 0) return;
  const reason = error?.message ?? stderr.trim().split('\n').at(-1) ?? '';
  throw new EngineError(
    `expected Debian's ${PACKAGE} of ${suite}, found that it cannot be fetched (${reason}); ${byHand()}`,
  );
}

const byHand = (): string =>
  `install libunicorn >= 2.1 with your package manager, or set ${LIBRARY_VARIABLE} to a libunicorn.so.2`;
