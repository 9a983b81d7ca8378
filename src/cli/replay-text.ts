/** What a replay has come to, in words. */
import type { LoadedGuest } from '../lab/open.js';
import { programName } from '../lab/open.js';
import type { Replay } from '../lab/replay.js';
import { differentRegisters, type LoggedEvent } from '../schedule/event-log.js';
import type { GuestSpec, ScheduleEnd } from '../schedule/schedule.js';
import { registerText } from './register-text.js';

/** How the two runs are called: `recorded` and `found`, or `first` and `second`. */
export type RunNames = readonly [earlier: string, later: string];

const HIGHEST_USER = 1n << 47n;

/** Lines for stderr: where two runs part. */
export function differenceText(
  result: Extract<Replay, { kind: 'event' | 'end' }>,
  spec: GuestSpec,
  guest: LoadedGuest,
  [earlier, later]: RunNames,
): string {
  const width = Math.max(earlier.length, later.length) + 2;
  const line = (name: string, text: string): string => `  ${name.padEnd(width)}${text}\n`;
  if (result.kind === 'end')
    return (
      `unwindlab: ${spec.image.name}: the ${later} run ends otherwise than the ${earlier} one\n` +
      line(earlier, endText(result.recorded)) +
      line(later, endText(result.end))
    );
  const place = placeNames(spec, guest);
  const { event, recorded, found, registers } = result.difference;
  const text = (logged: LoggedEvent | undefined): string =>
    logged === undefined ? 'nothing more' : eventText(logged, place);
  return (
    `unwindlab: ${spec.image.name}: the ${later} run parts from the ${earlier} one at event ${event}\n` +
    line(earlier, text(recorded)) +
    line(later, text(found)) +
    (found === undefined ? '' : registersLine(recorded, found)) +
    (registers === undefined ? '' : registerText(registers, place))
  );
}

export const endText = ({ kind, retired, hash }: ScheduleEnd): string =>
  `${kind} after ${retired} instructions, hash ${hash}`;

function eventText({ step, cpu, time, what, rip }: LoggedEvent, place: (rip: bigint) => string): string {
  const where = rip === undefined ? '' : ` at ${place(rip)} (0x${rip.toString(16)})`;
  return `step ${step}, CPU ${cpu}, ${time} ns: ${what}${where}`;
}

function registersLine(recorded: LoggedEvent | undefined, found: LoggedEvent): string {
  const different = recorded === undefined ? [] : differentRegisters(recorded, found);
  const which = different.length === 0 ? '' : `other values in ${different.join(', ')}; `;
  return `  ${which}registers of CPU ${found.cpu}${found.rip === undefined ? ' behind that instruction' : ''}:\n`;
}

/** Names for addresses: the image's; in user mode the program's, where there is but one. */
function placeNames(spec: GuestSpec, guest: LoadedGuest): (rip: bigint) => string {
  const names = new Set(spec.modules.map(({ name }) => programName(name.split(',')[0]!)));
  const [only] = names;
  const program = names.size === 1 && only !== undefined ? guest.program(only) : undefined;
  return (rip) =>
    rip < HIGHEST_USER && program !== undefined
      ? program.symbols.format(rip)
      : guest.machine.symbols.format(rip);
}
