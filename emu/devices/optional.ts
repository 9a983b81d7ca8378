/**
 * Devices that a machine can have or do without, by the names that users of QEMU know them by: `-device isa-debugcon`, `-device pc-testdev`,
 * `-machine hpet=off`, `i8042=off`, `rtc=off`. fw_cfg, which a PC of QEMU always has, is called so in its documentation.
 */
import type { MachineKind } from '../terms.js';

/** By machine: what it can have, and whether it has it where nothing is said. */
const OPTIONAL = {
  microvm: { fw_cfg: false, 'isa-debugcon': false, 'pc-testdev': false },
  pc: { hpet: true, i8042: true, rtc: true, fw_cfg: true, 'isa-debugcon': true, 'pc-testdev': true },
} as const satisfies Record<MachineKind, Readonly<Record<string, boolean>>>;

/** A pc can have all that there are. */
export type DeviceName = keyof (typeof OPTIONAL)['pc'];
/** What a microvm can have: devices that need no interrupt controller and no clock. */
export type SimpleDeviceName = keyof (typeof OPTIONAL)['microvm'];
/** Which devices are to be there or not; of what is not named a machine has what it has by itself. */
export type DeviceSwitches = { readonly [Name in DeviceName]?: boolean };

const defaultsOf = (kind: MachineKind): DeviceSwitches => OPTIONAL[kind];
const canHave = (kind: MachineKind, name: string): name is DeviceName => Object.hasOwn(OPTIONAL[kind], name);

/** The names of all devices that a machine can have or do without. */
export const possibleDevices = (kind: MachineKind): readonly string[] => Object.keys(OPTIONAL[kind]);

/** In one sentence, why a machine cannot have one of these devices; undefined where it can have all. */
export function deviceProblem(kind: MachineKind, names: Iterable<string>): string | undefined {
  for (const name of names) {
    if (canHave(kind, name)) continue;
    const hint = canHave('pc', name) ? ', which only a pc has' : '';
    return `expected a device that a ${kind} can have (${possibleDevices(kind).join(', ')}), found ${JSON.stringify(name)}${hint}`;
  }
  return undefined;
}

/** The devices that a machine has. @throws RangeError for one that it cannot have */
export function devicesOf(kind: MachineKind, switches: DeviceSwitches = {}): ReadonlySet<DeviceName> {
  const problem = deviceProblem(kind, Object.keys(switches));
  if (problem !== undefined) throw new RangeError(problem);
  const all = Object.entries({ ...defaultsOf(kind), ...switches }) as [DeviceName, boolean][];
  return new Set(all.filter(([, isThere]) => isThere).map(([name]) => name));
}

/** Those of the switches that change the machine, in the order of its devices; undefined: none does. */
export function changedDevices(kind: MachineKind, switches: DeviceSwitches = {}): DeviceSwitches | undefined {
  const changed = (Object.entries(defaultsOf(kind)) as [DeviceName, boolean][])
    .filter(([name, isThere]) => (switches[name] ?? isThere) !== isThere)
    .map(([name, isThere]) => [name, !isThere]);
  return changed.length === 0 ? undefined : Object.fromEntries(changed);
}
