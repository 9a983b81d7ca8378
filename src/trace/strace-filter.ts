import { SYSCALL_CLASSES, SYSCALL_NAMES } from './syscall-names.js';

/** A filter that names a system call or class that there is not. */
export class FilterError extends Error {
  override name = 'FilterError';
}

/**
 * strace's `-e trace=`: names and classes (`%process`) with commas between, `!` before them for all others, `all`, `none`.
 * A name after `?` may be unknown.
 * @returns whether a system call of that name is to be shown
 * @throws {FilterError}
 */
export function syscallFilter(expression: string): (name: string) => boolean {
  const negated = expression.startsWith('!');
  const wanted = new Set<string>();
  for (const entry of (negated ? expression.slice(1) : expression).split(','))
    for (const name of members(entry)) wanted.add(name);
  return (name) => (wanted.has('all') || wanted.has(name)) !== negated;
}

function members(entry: string): Iterable<string> {
  if (entry === 'all') return [entry];
  if (entry === 'none') return [];
  if (entry.startsWith('%')) {
    const known = SYSCALL_CLASSES[entry.slice(1)];
    if (known !== undefined) return known;
    const classes = Object.keys(SYSCALL_CLASSES).map((name) => `%${name}`);
    throw new FilterError(`expected a class of system calls (${classes.join(', ')}), found ${entry}`);
  }
  const name = entry.replace(/^\?/, '');
  if (SYSCALL_NAMES.has(name)) return [name];
  if (name !== entry) return [];
  throw new FilterError(`expected the name of a system call, found ${JSON.stringify(entry)}`);
}
