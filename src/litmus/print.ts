/** Reports as herd7 prints them, and as JSON. */
import type { LitmusReport, StateReport, WitnessStep } from './run.js';
import type { Quantifier } from './test.js';

const KINDS: Readonly<Record<Quantifier, string>> = {
  exists: 'Allowed',
  '~exists': 'Forbidden',
  forall: 'Required',
};
const SEQUENTIAL =
  'Model sequentially consistent: stores are not delayed, an x86 allows these states and perhaps more';

/** From here on numbers are easier to read in hexadecimal. */
const HEX_FROM = 1n << 32n;

/** `&x` for the address of a variable. */
function valueText(value: bigint, { addresses }: LitmusReport): string {
  const name = addresses.get(value);
  if (name !== undefined) return `&${name}`;
  return value < HEX_FROM ? `${value}` : `0x${value.toString(16)}`;
}

/** `0:rax=1; x=2; hang(P0);` */
function stateText({ values, faults, hangs }: StateReport, report: LitmusReport): string {
  const parts = [
    ...Array.from(values, ([name, value]) => `${name}=${valueText(value, report)};`),
    ...faults.map((cpu) => `fault(P${cpu});`),
    ...hangs.map((cpu) => `hang(P${cpu});`),
  ];
  return parts.join(' ') || 'true;';
}

/** The lines of a report, without the witnesses. */
export function reportLines(report: LitmusReport): string[] {
  const { name, test, states, positive, negative, observation, ok } = report;
  const width = Math.max(...states.map(({ runs }) => `${runs}`.length));
  return [
    `Test ${name} ${KINDS[test.quantifier]}`,
    `States ${states.length}`,
    ...states.map((state) => {
      const mark = state.positive ? '*>' : ':>';
      return `${`${state.runs}`.padStart(width)} ${mark} ${stateText(state, report)}`;
    }),
    ok ? 'Ok' : 'No',
    'Witnesses',
    `Positive: ${positive} Negative: ${negative}`,
    `Condition ${test.condition}`,
    `Observation ${name} ${observation} ${positive} ${negative}`,
    ...(report.sequential ? [SEQUENTIAL] : []),
    ...resultLine(report),
  ];
}

function resultLine({ test, observation, agrees }: LitmusReport): string[] {
  if (test.expected === undefined) return [];
  return [
    agrees ? `Result ${observation}, as expected` : `Result expected ${test.expected}, found ${observation}`,
  ];
}

/** One run to each state that makes the proposition true; where none does, to each state. */
export function witnessLines(report: LitmusReport): string[] {
  const { states } = report;
  const shown = states.some(({ positive }) => positive) ? states.filter(({ positive }) => positive) : states;
  return shown.flatMap((state) => [`Witness ${stateText(state, report)}`, ...stepLines(state.witness)]);
}

function stepLines(steps: readonly WitnessStep[]): string[] {
  const width = Math.max(...steps.map(({ column }) => column.length));
  return steps.flatMap(({ column, text, strike }) => [
    ...(strike === undefined ? [] : [`  ${strike} strikes`]),
    `  ${column.padEnd(width)}  ${text}`,
  ]);
}

/** A report as plain data. Counts above 2^53 are rounded; values are strings, as they may be wider. */
export function reportJson(report: LitmusReport): object {
  const { name, test, states, positive, negative, observation, ok, agrees, sequential, steps } = report;
  return {
    name,
    kind: KINDS[test.quantifier],
    states: states.map(({ values, faults, hangs, runs, positive: isWitness, witness }) => ({
      runs: Number(runs),
      positive: isWitness,
      values: Object.fromEntries(
        Array.from(values, ([location, value]) => [location, valueText(value, report)]),
      ),
      faults,
      hangs,
      witness,
    })),
    ok,
    positive: Number(positive),
    negative: Number(negative),
    condition: test.condition,
    observation,
    expected: test.expected,
    agrees,
    sequential,
    steps,
  };
}
