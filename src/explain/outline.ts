/** Which steps of a story are shown, and which are folded into one line. */
import type { Step, Story } from './story.js';

/** One line of the outline; steps by their index. */
export type Row =
  | { readonly kind: 'step'; readonly step: number }
  /** The steps `from` to before `to`, all of one context. */
  | {
      readonly kind: 'fold';
      readonly from: number;
      readonly to: number;
      /** The routines that they run through, in the order in which they come to them. */
      readonly routines: readonly string[];
    };

/** Steps that are shown before a choice and behind it. */
const BEFORE_CHOICE = 4;
const AFTER_CHOICE = 3;
/** Steps that are shown at the end. */
const LAST = 3;
/** A fold hides at least so many. */
const LEAST = 3;

/** @param full no folds */
export function outlineOf({ steps, code }: Pick<Story, 'steps' | 'code'>, full = false): Row[] {
  const shown = full ? steps.map(() => true) : shownOf(steps);
  const rows: Row[] = [];
  for (let from = 0; from < steps.length; ) {
    let to = from;
    while (to < steps.length && !shown[to] && steps[to]!.context === steps[from]!.context) to++;
    if (to - from < LEAST) {
      do rows.push({ kind: 'step', step: from++ });
      while (from < to);
      continue;
    }
    const routines = new Set<string>();
    for (const { action } of steps.slice(from, to))
      if (action.kind === 'instruction') routines.add(code[action.code]!.routine);
    routines.delete('');
    rows.push({ kind: 'fold', from, to, routines: [...routines] });
    from = to;
  }
  return rows;
}

/** Whether each step tells something, or stands beside a choice or at the end. */
function shownOf(steps: readonly Step[]): boolean[] {
  const shown = steps.map(
    ({ action, state, notes }) => action.kind !== 'instruction' || state.length > 0 || notes.length > 0,
  );
  const show = (from: number, to: number): void => {
    shown.fill(true, Math.max(from, 0), Math.min(to, steps.length));
  };
  for (const [index, { action }] of steps.entries())
    if (action.kind === 'choice') show(index - BEFORE_CHOICE, index + 1 + AFTER_CHOICE);
  show(0, 1);
  show(steps.length - LAST, steps.length);
  return shown;
}
