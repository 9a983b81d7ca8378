/** Rows as a table for reading. */
import type { Measured, Row } from './measure.js';

const COLUMNS = [
  ...['benchmark', 'unit', 'unwindlab', 'spread', 'best'],
  ...['QEMU', 'spread', 'best', 'against QEMU', 'target'],
] as const;
const LEFT_ALIGNED = 2;

/** The header, a rule, and a line for each row. */
export function table(rows: readonly Row[]): string {
  const cells = rows.map((row) => [
    row.name,
    row.unit,
    ...figures(row.unwindlab),
    ...figures(row.qemu),
    ratio(row.ratio),
    target(row),
  ]);
  const widths = COLUMNS.map((title, column) =>
    Math.max(title.length, ...cells.map((line) => line[column]!.length)),
  );
  const line = (texts: readonly string[]): string =>
    texts
      .map((text, column) =>
        column < LEFT_ALIGNED ? text.padEnd(widths[column]!) : text.padStart(widths[column]!),
      )
      .join('  ')
      .trimEnd();
  return [line(COLUMNS), widths.map((width) => '-'.repeat(width)).join('  '), ...cells.map(line), ''].join(
    '\n',
  );
}

const figures = (measured: Measured | undefined): [string, string, string] =>
  measured === undefined
    ? ['', '', '']
    : [
        number(measured.median),
        `±${Math.round((100 * measured.spread) / measured.median)}%`,
        number(measured.best),
      ];

/** Three significant digits. */
const number = (value: number): string => (value >= 100 ? String(Math.round(value)) : value.toPrecision(3));

function ratio(value: number | undefined): string {
  if (value === undefined) return '';
  return value >= 1 ? `${number(value)}x slower` : `${number(1 / value)}x faster`;
}

function target({ target, targetRatio, met, unit }: Row): string {
  if (targetRatio !== undefined) return `<= ${targetRatio}x ${met ? 'met' : 'MISSED'}`;
  if (target === undefined) return '';
  return `${unit.endsWith('/s') ? '>=' : '<='} ${target} ${met ? 'met' : 'MISSED'}`;
}
