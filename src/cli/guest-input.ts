/** Standard input as the guest's serial port has it. */
import { fstatSync } from 'node:fs';
import { readInput } from '../lab/open.js';

const STDIN = 0;
/** Control-D: what a terminal's line sends when the input ends. */
const END_OF_INPUT = Uint8Array.of(4);

/**
 * A terminal or a pipe is given to the guest as it comes; anything else, such as a file or /dev/null, as a whole before it
 * starts, which keeps the run repeatable. The end of the input becomes a control-D.
 * @returns what ends the connection.
 */
export function attachInput(give: (bytes: Uint8Array) => void): () => void {
  const { stdin } = process;
  const kind = fstatSync(STDIN);
  if (!stdin.isTTY && !kind.isFIFO() && !kind.isSocket()) {
    give(readInput('/dev/stdin'));
    give(END_OF_INPUT);
    return () => {};
  }
  const onData = (bytes: Buffer): void => give(bytes);
  const onEnd = (): void => give(END_OF_INPUT);
  stdin.on('data', onData).on('end', onEnd);
  return () => {
    stdin.off('data', onData).off('end', onEnd);
    stdin.destroy();
  };
}
