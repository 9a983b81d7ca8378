/**
 * Finds libunicorn. Looked for in this order: the environment variable, the system's library, the private copy that
 * the set-up step keeps in the cache folder. A path that was given decides; else the first that is recent does, and if there is
 * none, the first that can be used (not Debian 12's 2.0.1, whose paging is not real).
 */
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import koffi, { type LibraryHandle } from 'koffi';

export const LIBRARY_VARIABLE = 'UNWINDLAB_LIBUNICORN';
const OLDEST = { major: 2, minor: 1 };
/**
 * Older ones lose their way behind page faults of user code where nothing hooks each instruction; and where they are to notice all stores
 * to code, each store of the guest is a slow one (`store-marks.ts`).
 */
const OLDEST_RECENT = [2, 1, 4] as const;
const SYSTEM_NAME = 'libunicorn.so.2';

/** The engine's library is missing, too old, or not laid out as this machine needs it. */
export class EngineError extends Error {
  override name = 'EngineError';
}

export interface UnicornLibrary {
  readonly path: string;
  /** Such as "2.1.4". */
  readonly version: string;
  readonly handle: LibraryHandle;
}

/** Where the set-up step keeps its private copy: `$XDG_CACHE_HOME/unwindlab/engine/libunicorn.so.2`. */
export function cachedLibraryPath(env: NodeJS.ProcessEnv = process.env): string {
  const cache = env['XDG_CACHE_HOME'] || join(homedir(), '.cache');
  return join(cache, 'unwindlab', 'engine', SYSTEM_NAME);
}

/**
 * Loads the first usable libunicorn.
 * @throws EngineError one sentence: what was found, what is needed, the command to run.
 */
export function findLibrary(env: NodeJS.ProcessEnv = process.env): UnicornLibrary {
  const remedy = `run "unwindlab setup", or set ${LIBRARY_VARIABLE} to a libunicorn.so.2 of version 2.1 or later`;
  const named = env[LIBRARY_VARIABLE];
  if (named) {
    const found = tryLoad(named);
    if (typeof found === 'string') {
      throw new EngineError(
        `expected libunicorn >= 2.1 at ${LIBRARY_VARIABLE}=${named}, found ${found}; ${remedy}`,
      );
    }
    return found;
  }
  const seen: string[] = [];
  let usable: UnicornLibrary | undefined;
  for (const [path, where] of [
    [SYSTEM_NAME, `the system's ${SYSTEM_NAME}`],
    [cachedLibraryPath(env), 'the private copy'],
  ] as const) {
    const found = tryLoad(path);
    if (typeof found === 'string') seen.push(`${where}: ${found}`);
    else if (isRecent(found)) return found;
    else usable ??= found;
  }
  if (usable !== undefined) return usable;
  throw new EngineError(`expected libunicorn >= 2.1, found none (${seen.join('; ')}); ${remedy}`);
}

/** Whether guests can run freely, and the engine can be asked to notice the stores to single pages. */
export function isRecent({ version }: Pick<UnicornLibrary, 'version'>): boolean {
  const parts = version.split('.').map(Number);
  const at = OLDEST_RECENT.findIndex((oldest, index) => parts[index] !== oldest);
  return at < 0 || parts[at]! > OLDEST_RECENT[at]!;
}

/** @throws EngineError where the library is too old for guests that run freely */
export function expectRecent(library: UnicornLibrary): void {
  if (isRecent(library)) return;
  throw new EngineError(
    `expected libunicorn >= 2.1.4 for a free-running guest, found ${library.version} (${library.path}); ` +
      'use --deterministic, or run "unwindlab setup --force"',
  );
}

/** The loaded library, or in a few words why it cannot be used. */
function tryLoad(path: string): UnicornLibrary | string {
  if (path.includes('/') && !existsSync(path)) return 'no such file';
  let handle: LibraryHandle;
  try {
    handle = koffi.load(path);
  } catch {
    return path.includes('/') ? 'a file that is no loadable library' : 'not installed';
  }
  let packed: number;
  try {
    packed = handle.func('unsigned int uc_version(void *major, void *minor)')(null, null) as number;
  } catch {
    return 'a library that is not libunicorn';
  }
  const [major, minor, patch] = [packed >>> 24, (packed >>> 16) & 0xff, (packed >>> 8) & 0xff];
  const version = `${major}.${minor}.${patch}`;
  if (major !== OLDEST.major || minor < OLDEST.minor) return `version ${version}`;
  return { path, version, handle };
}
