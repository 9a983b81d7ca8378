/**
 * Machine-check registers (SDM 3B, "Machine-Check MSRs", 16.3). Nothing breaks here, so the banks never report anything: what can be set up can be set
 * up, and what tells of an error is zero and takes nothing but zero.
 */
import { MSR } from './architecture.js';
import { constant, lasting, type MsrRow, type MsrRows } from './msr-row.js';

const BANKS = 4;
/** IA32_MCG_CAP (16.3.1.1): how many banks, and that IA32_MCG_CTL is there. */
const CAPABILITIES = BigInt(BANKS) | (1n << 8n);
const ALL = 2n ** 64n - 1n;
/** IA32_MCG_STATUS (16.3.1.2): whether the interrupted program can go on, whether the fault is its own, a check in progress. */
const STATUS_BITS = 7n;

const empty: MsrRow = { read: () => 0n, write: (_host, value) => value === 0n };

/** A bank's registers (16.3.2): control, status, address, more about the error. */
const bank = (index: number): MsrRows => {
  const control = MSR.MC0_CTL + 4 * index;
  return [
    [control, lasting(control)],
    [control + 1, empty],
    [control + 2, empty],
    [control + 3, empty],
  ];
};

export const MACHINE_CHECK_ROWS: MsrRows = [
  [MSR.MCG_CAP, constant(CAPABILITIES)],
  [MSR.MCG_STATUS, lasting(MSR.MCG_STATUS, (value) => (value & ~STATUS_BITS) === 0n)],
  [MSR.MCG_CTL, lasting(MSR.MCG_CTL, (value) => value === 0n || value === ALL, ALL)],
  ...Array.from({ length: BANKS }, (_, index) => bank(index)).flat(),
];
