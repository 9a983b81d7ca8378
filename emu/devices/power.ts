/** The ways in which a guest ends its machine, as QEMU's PC and microvm have them. */
import type { PortDevice } from './ports.js';

/** How the guest ended the machine. */
export type PowerEvent =
  | { readonly kind: 'poweroff' }
  | { readonly kind: 'reset' }
  /** A write of `value` to the debug-exit port; the process status is `(value << 1) | 1` (QEMU, hw/misc/debugexit.c). */
  | { readonly kind: 'debug-exit'; readonly value: number };

type Report = (event: PowerEvent) => void;

const writeOnly = (firstPort: number, ports: number, write: PortDevice['write']): PortDevice => ({
  firstPort,
  ports,
  read: () => 0xffff_ffff,
  write,
});

/** ACPI PM1a control (ACPI 6.5, 4.8.3.2.1): SLP_EN is bit 13, SLP_TYP bits 12..10; S5 is type 0 on QEMU's PC, 5 and 7 elsewhere. */
const SLP_EN = 1 << 13;

/** i8042 command port: "pulse output line 0" resets (IBM AT technical reference; Linux, native_machine_emergency_restart). */
const I8042_RESET = 0xfe;
/** The reset control register (82371AB data sheet): bit 2 resets, bit 1 says how thoroughly. */
export const RESET_CONTROL = 0xcf9;
const RESET_CPU = 1 << 2;
export const HARD_RESET = RESET_CPU | (1 << 1);

/** Where a write of SLP_EN powers off: ACPI's PM1a control register where QEMU's PCs have it, the newer and the older. */
export const MICROVM_POWER: readonly number[] = [0x604, 0xb004];
/** The board has the newer one itself. */
export const PC_POWER: readonly number[] = [0xb004];

export function powerDevices(report: Report, acpiPorts: readonly number[]): PortDevice[] {
  const acpi = (port: number): PortDevice =>
    writeOnly(port, 2, (_offset, value) => {
      if ((value & SLP_EN) !== 0) report({ kind: 'poweroff' });
    });
  /** All that is left of a keyboard controller where there is none; its buffers are both empty. */
  const resetLine: PortDevice = {
    firstPort: 0x64,
    ports: 1,
    read: () => 0,
    write: (_offset, value) => {
      if ((value & 0xff) === I8042_RESET) report({ kind: 'reset' });
    },
  };
  return [
    writeOnly(0xf4, 4, (_offset, value) => report({ kind: 'debug-exit', value: value >>> 0 })),
    ...acpiPorts.map(acpi),
    resetLine,
    writeOnly(RESET_CONTROL, 1, (_offset, value) => {
      if ((value & RESET_CPU) !== 0) report({ kind: 'reset' });
    }),
  ];
}
