/** Standard input as the guest's serial port has it. */
import { fstatSync } from 'node:fs';
import { readInput } from '../lab/open.js';

const STDIN = 0;
/** Control-D: what a terminal's line sends when the input ends. */
const END_OF_INPUT = Uint8Array.of(4);

/** The longest that a guest which has nothing to do holds the host up, in milliseconds. */
const LONGEST_WAIT = 20;

export interface AttachedInput {
  /** Waits for as long as the guest sleeps, at most until more may come; not at all where the input has ended. */
  wait(nanoseconds: number): Promise<void>;
  detach(): void;
}

/**
 * A terminal or a pipe is given to the guest as it comes; anything else, such as a file or /dev/null, as a whole before it
 * starts, which keeps the run repeatable. The end of the input becomes a control-D.
 */
export function attachInput(give: (bytes: Uint8Array) => void): AttachedInput {
  const { stdin } = process;
  const kind = fstatSync(STDIN);
  if (!stdin.isTTY && !kind.isFIFO() && !kind.isSocket()) {
    give(readInput('/dev/stdin'));
    give(END_OF_INPUT);
    return { wait: async () => {}, detach: () => {} };
  }
  let isOpen = true;
  let wake = (): void => {};
  const onData = (bytes: Buffer): void => {
    give(bytes);
    wake();
  };
  const onEnd = (): void => {
    isOpen = false;
    give(END_OF_INPUT);
    wake();
  };
  stdin.on('data', onData).on('end', onEnd);
  return {
    wait: async (nanoseconds) => {
      if (!isOpen) return;
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, Math.min(nanoseconds / 1e6, LONGEST_WAIT));
        wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    },
    detach: () => {
      stdin.off('data', onData).off('end', onEnd);
      stdin.destroy();
    },
  };
}
