/** A terminal of 80 columns, as much of one as programs need that draw a screen: what stands on it when all has been written. */
const COLUMNS = 80;
const ROWS = 25;
/** A control sequence with its parameters and its letter (ECMA-48, 5.4), or one character. */
const PIECE = new RegExp(`${String.fromCharCode(0x1b)}\\[([0-9;?]*)([A-Za-z])|([^])`, 'g');

/** Cursor positions (CUP), erasing all (ED), carriage return and line feed are obeyed; colours and the rest are passed over. */
export function screenOf(output: string): string[] {
  const blank = (): string[][] => Array.from({ length: ROWS }, () => Array<string>(COLUMNS).fill(' '));
  let cells = blank();
  let [row, column] = [0, 0];
  for (const [, parameters, letter, character] of output.matchAll(PIECE)) {
    if (letter === 'H' || letter === 'f') {
      const [down, right] = parameters!.split(';').map(Number);
      [row, column] = [(down || 1) - 1, (right || 1) - 1];
    } else if (letter === 'J') cells = blank();
    else if (character === '\r') column = 0;
    else if (character === '\n') row++;
    else if (character !== undefined && character >= ' ') {
      if (row < ROWS && column < COLUMNS) cells[row]![column] = character;
      column++;
    }
  }
  return cells.map((line) => line.join('').trimEnd());
}
