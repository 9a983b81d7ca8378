/** Devices by name, of which a machine has those that it is asked for (`optional.ts`), and those of them that any machine can have. */
import { DebugConsole } from './debug-console.js';
import { FwCfg, type FwCfgFacts } from './fw-cfg.js';
import type { SimpleDeviceName } from './optional.js';
import type { PortDevice } from './ports.js';
import { TestDevice } from './test-device.js';

/** What every device is to its machine. A state is given back only to the device that it was taken from. */
export interface Part {
  readonly devices: readonly PortDevice[];
  capture(): unknown;
  reinstate(state: unknown): void;
}

export type Parts = Readonly<Record<string, Part | undefined>>;
export type PartStates = Readonly<Record<string, unknown>>;
/** How each is made, from what a machine gives to it. */
type Makers<Wires> = Readonly<Record<string, (wires: Wires) => Part>>;
type Made<Table extends Makers<never>> = { readonly [Name in keyof Table]?: ReturnType<Table[Name]> };

/** Makes those of a table that are named. */
export const makeParts = <Wires, Table extends Makers<Wires>>(
  table: Table,
  names: ReadonlySet<string>,
  wires: Wires,
): Made<Table> =>
  Object.fromEntries(
    Object.entries(table)
      .filter(([name]) => names.has(name))
      .map(([name, make]) => [name, make(wires)]),
  ) as Made<Table>;

const thoseOf = (parts: Parts): [name: string, part: Part][] =>
  Object.entries(parts).filter((entry): entry is [string, Part] => entry[1] !== undefined);

export const portsOf = (parts: Parts): PortDevice[] => thoseOf(parts).flatMap(([, { devices }]) => devices);
export const captureParts = (parts: Parts): PartStates =>
  Object.fromEntries(thoseOf(parts).map(([name, part]) => [name, part.capture()]));
export function reinstateParts(parts: Parts, states: PartStates): void {
  for (const [name, part] of thoseOf(parts)) part.reinstate(states[name]);
}

export interface SimpleWires {
  readonly facts: FwCfgFacts;
  /** A byte for the debug console. */
  debug(byte: number): void;
  /** An interrupt line of the board; without one there are none. */
  setLine?(line: number, level: boolean): void;
}

/** The debug console's port lies within the test device's, and is the console's where both are there: the first of two answers. */
export const SIMPLE_DEVICES = {
  fw_cfg: ({ facts }) => new FwCfg(facts),
  'isa-debugcon': ({ debug }) => new DebugConsole(debug),
  'pc-testdev': ({ setLine }) => new TestDevice(setLine),
} as const satisfies Record<SimpleDeviceName, (wires: SimpleWires) => Part>;
