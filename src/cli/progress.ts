/** A line on a terminal that says how far a run has come, for commands that print their result only at the end. */
import type { Machine } from '../../emu/machine.js';

const INTERVAL_MS = 500;
const CLEAR = '\r\x1b[K';

export interface Progress {
  /** To be called often; writes now and then. */
  tell(): void;
  /** Takes the line away, until the next one. */
  hide(): void;
}

/**
 * Writes nothing where the stream is no terminal.
 * @param budget what the run may take at most; undefined: nobody waits for its end
 */
export function progressOf(machine: Machine, budget: number | undefined, to: NodeJS.WriteStream): Progress {
  if (!to.isTTY) return { tell: () => {}, hide: () => {} };
  const started = Date.now();
  let last = started;
  let shown = false;
  return {
    tell: () => {
      const now = Date.now();
      if (now - last < INTERVAL_MS) return;
      last = now;
      shown = true;
      const seconds = (now - started) / 1000;
      const rate = machine.retired / seconds;
      const guest = Math.max(...machine.cpus.map(({ time }) => time)) / 1e9;
      const left =
        budget === undefined
          ? ''
          : `, budget spent in ${Math.ceil((budget - machine.retired) / rate)} s at the latest`;
      to.write(
        `${CLEAR}${(machine.retired / 1e6).toFixed(0)} M instructions, ${(rate / 1e6).toFixed(0)} MIPS, ` +
          `guest time ${guest.toFixed(3)} s${left}`,
      );
    },
    hide: () => {
      if (shown) to.write(CLEAR);
      shown = false;
    },
  };
}
