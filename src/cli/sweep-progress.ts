/** How far a sweep is: a line on a terminal, and now and then a word to who keeps what is done. */
import type { SweepReport } from '../sweep/report.js';
import { unitsIn } from '../sweep/report.js';

const CLEAR = '\r\x1b[K';
const LINE_MS = 200;
const KEEP_MS = 500;
const BAR = 30;

export interface SweepProgress {
  /** @param share boundaries that are to be done in the end */
  tell(report: SweepReport, share: number): void;
  /** Takes the line away and keeps the last state. */
  end(): void;
}

/** @param keep called twice a second and at the end */
export function sweepProgress(to: NodeJS.WriteStream, keep: (report: SweepReport) => void): SweepProgress {
  const began = performance.now();
  let first: { runs: number; done: number } | undefined;
  let told = 0;
  let kept = began;
  let last: SweepReport | undefined;
  return {
    tell(report, share) {
      last = report;
      const now = performance.now();
      const done = unitsIn(report.done);
      first ??= { runs: report.tally.runs, done };
      if (now - kept >= KEEP_MS) {
        kept = now;
        keep(report);
      }
      if (!to.isTTY || now - told < LINE_MS) return;
      told = now;
      const seconds = (now - began) / 1000;
      const rate = (report.tally.runs - first.runs) / seconds;
      const left = done > first.done ? ((share - done) * seconds) / (done - first.done) : Number.NaN;
      const full = Math.round((BAR * done) / share);
      const bar = '█'.repeat(full) + '░'.repeat(BAR - full);
      const broken = Object.values(report.tally.breaches).reduce((sum, { runs }) => sum + runs, 0);
      to.write(
        `${CLEAR}${bar} ${done}/${share} boundaries, ${report.tally.runs} runs, ${rate.toFixed(0)}/s` +
          `${Number.isNaN(left) ? '' : `, ${Math.ceil(left)} s left`}${broken > 0 ? `, ${broken} broken` : ''}`,
      );
    },
    end() {
      if (to.isTTY) to.write(CLEAR);
      if (last !== undefined) keep(last);
    },
  };
}
