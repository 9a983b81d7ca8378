/** How far the races are: a line on a terminal. */
import type { CellResult } from '../lab/races.js';

const CLEAR = '\r\x1b[K';
const BAR = 30;

export interface RacesProgress {
  tell(result: CellResult, done: number, of: number): void;
  /** Takes the line away. */
  end(): void;
}

export function racesProgress(to: NodeJS.WriteStream): RacesProgress {
  const began = performance.now();
  let runs = 0;
  return {
    tell({ version, scenario, report }, done, of) {
      runs += report.tally.runs;
      if (!to.isTTY) return;
      const seconds = (performance.now() - began) / 1000;
      const full = Math.round((BAR * done) / of);
      const bar = '█'.repeat(full) + '░'.repeat(BAR - full);
      const left = Math.ceil((seconds * (of - done)) / done);
      to.write(
        `${CLEAR}${bar} ${done}/${of} sweeps, ${runs} runs, ${left} s left, ${version} ${scenario.window}`,
      );
    },
    end() {
      if (to.isTTY) to.write(CLEAR);
    },
  };
}
