/**
 * What the guest programs state about themselves. The header comment of each source under `guest-user/` holds lines of
 * the notation that `guest-user/README.md` describes; this module reads them. Nothing here runs anything.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { EndReason } from '../../src/unwind/walk.js';

/** The reasons that a STACK line may give, as the host's own walk names them. */
export const STATED_REASONS = [
  'fp-below-sp',
  'cfa-not-above-sp',
  'misaligned',
  'return-address-unreadable',
  'frame-pointer-unreadable',
  'limit',
] as const satisfies readonly EndReason[];

/** The stack at one marked point: each system call of this name with this first argument has it. */
export interface StatedStack {
  readonly syscall: string;
  readonly argument: bigint;
  /** Innermost first: the name of a function symbol, or `0x…` for an address that is recorded as it is. */
  readonly entries: readonly string[];
  /** Absent where the line ends in `?`: what follows the entries is not stated. */
  readonly ends?: EndReason;
}

/** One run of one image. */
export interface StatedRun {
  /** Name of the image, without folder and `.elf`. */
  readonly image: string;
  readonly arguments: readonly string[];
  /** Standard input, followed by its end. */
  readonly input: string;
  /** All of standard output. */
  readonly output: string;
  /** Exit status; 128 + signal for a run that ends by one. */
  readonly exit: number;
  readonly stacks: readonly StatedStack[];
}

const LINE = /^\s*\*?\s*(RUN|INPUT|OUTPUT|STACK|EXIT)\s*(.*)$/;
const STACK = /^([a-z]\w*)\((-?\d+)\):\s*(.*?)\s*(?:;\s*ends:\s*([a-z-]+)|\?)$/;

/**
 * The runs that a source states.
 *
 * @throws Error that names the line, where one does not follow the notation or a run states no exit status.
 */
export function parseStated(source: string): StatedRun[] {
  const header = source.slice(0, source.indexOf('*/')).replace(/\\\n\s*\*?\s*/g, '');
  const runs: StatedRun[] = [];
  let run: { -readonly [K in keyof StatedRun]: StatedRun[K] } | undefined;
  let stacks: StatedStack[] = [];

  for (const line of header.split('\n')) {
    const [, word, text] = LINE.exec(line) ?? [];
    if (word === undefined || text === undefined) continue;
    if (word === 'RUN') {
      const [image, ...rest] = text.split(/\s+/);
      stacks = [];
      run = { image: image ?? '', arguments: rest, input: '', output: '', exit: Number.NaN, stacks };
      runs.push(run);
    } else if (run === undefined) {
      throw new Error(`expected RUN first, found "${word} ${text}"`);
    } else if (word === 'INPUT') run.input += `${text}\n`;
    else if (word === 'OUTPUT') run.output += `${text}\n`;
    else if (word === 'EXIT') run.exit = Number(text);
    else stacks.push(parseStack(text));
  }
  const endless = runs.find((r) => !Number.isInteger(r.exit));
  if (endless) throw new Error(`expected EXIT with a number after RUN ${endless.image}, found none`);
  return runs;
}

/**
 * The text of one STACK line, without the word itself.
 *
 * @throws Error where it does not follow the notation.
 */
export function parseStack(text: string): StatedStack {
  const [, syscall, argument, frames, ends] = STACK.exec(text) ?? [];
  if (syscall === undefined || argument === undefined || frames === undefined)
    throw new Error(`expected "SYSCALL(ARGUMENT): FRAME… ; ends: REASON" or "… ?", found "${text}"`);
  const stack = { syscall, argument: BigInt.asUintN(64, BigInt(argument)), entries: parseFrames(frames) };
  if (ends === undefined) return stack;
  const reason = STATED_REASONS.find((known) => known === ends);
  if (reason === undefined) throw new Error(`expected one of ${STATED_REASONS.join(', ')}, found "${ends}"`);
  return { ...stack, ends: reason };
}

/** `a b*2 (c d)*2` → a b b c d c d. Groups do not nest. */
function parseFrames(text: string): string[] {
  const part = /\(([^()]*)\)\*(\d+)|([^\s()*]+)(?:\*(\d+))?/y;
  const entries: string[] = [];
  for (let at = 0; at < text.length; at = part.lastIndex) {
    part.lastIndex = at + (/^\s*/.exec(text.slice(at))?.[0].length ?? 0);
    const [found, group, groupCount, name, count] = part.exec(text) ?? [];
    if (found === undefined)
      throw new Error(`expected NAME, NAME*COUNT or (NAME…)*COUNT, found "${text.slice(at)}"`);
    const names = group?.trim().split(/\s+/) ?? [name ?? ''];
    for (let i = Number(groupCount ?? count ?? 1); i > 0; i--) entries.push(...names);
  }
  return entries;
}

/** What a walk that stores at most `limit` entries must find of a stated stack. */
export function withinLimit(stack: StatedStack, limit: number): StatedStack {
  if (stack.entries.length < limit) return stack;
  return { ...stack, entries: stack.entries.slice(0, limit), ends: 'limit' };
}

/** Every run that the sources in `folder` state. */
export function statedRuns(folder = 'guest-user'): StatedRun[] {
  return readdirSync(folder)
    .filter((name) => /\.[cS]$/.test(name))
    .flatMap((name) => parseStated(readFileSync(join(folder, name), 'utf8')));
}
