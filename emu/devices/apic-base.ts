/** IA32_APIC_BASE: where a local APIC is and in which mode (SDM 3A, figure 11-26 and "x2APIC State Transitions", 11.12.5). */

export const APIC_DEFAULT_BASE = 0xfee0_0000;

const BOOT_PROCESSOR = 1n << 8n;
/** Extended (10) and enabled (11) together say the mode. Extended without enabled there is not. */
const MODE_SHIFT = 10n;
const MODE = 3n << MODE_SHIFT;
const MODES = ['off', undefined, 'xapic', 'x2apic'] as const;
export type ApicMode = Exclude<(typeof MODES)[number], undefined>;

const TRANSITIONS: Readonly<Record<ApicMode, readonly ApicMode[]>> = {
  off: ['off', 'xapic'],
  xapic: ['xapic', 'x2apic', 'off'],
  x2apic: ['x2apic', 'off'],
};

export const apicBase = (mode: ApicMode, isBootProcessor: boolean): bigint =>
  BigInt(APIC_DEFAULT_BASE) |
  (BigInt(MODES.indexOf(mode)) << MODE_SHIFT) |
  (isBootProcessor ? BOOT_PROCESSOR : 0n);

/** The mode that a write of `value` leads to where `base` was; `undefined` for #GP(0). The registers cannot be moved. */
export function modeAfter(value: bigint, base: bigint, mode: ApicMode): ApicMode | undefined {
  if (((value ^ base) & ~MODE) !== 0n) return undefined;
  const next = MODES[Number((value & MODE) >> MODE_SHIFT)];
  return next !== undefined && TRANSITIONS[mode].includes(next) ? next : undefined;
}
