/** The registers of the performance counters (SDM 3B, 20.2; SDM 4, table 2-2), as many as a model has. */
import { MSR } from './architecture.js';
import type { CpuModel } from './model.js';
import type { MsrRow, MsrRows } from './msr-row.js';
import type { PerfCounters } from './perf-counter.js';

/** A register of the counters, which are brought up to date first. */
const perf = (
  get: (perf: PerfCounters) => bigint,
  set?: (perf: PerfCounters, value: bigint) => boolean,
): MsrRow => ({
  read: (host) => {
    host.settlePerf();
    return get(host.perf);
  },
  write: (host, value) => {
    host.settlePerf();
    if (set === undefined || !set(host.perf, value)) return false;
    host.perfChanged();
    return true;
  },
});

/** Registers that each counter has. The last one is the counter's alias that takes its full width. */
const ofCounter = (index: number, fullWidth: boolean): MsrRows => [
  [MSR.PERFEVTSEL0 + index, perf((p) => p.select(index), (p, value) => p.setSelect(index, value))],
  [MSR.PMC0 + index, perf((p) => p.value(index), (p, value) => p.setValue(index, value))],
  ...(fullWidth
    ? ([[MSR.A_PMC0 + index, perf((p) => p.value(index), (p, value) => p.setFullValue(index, value))]] as const)
    : []),
]; // biome-ignore format: a register to a line

/** Registers that each fixed counter has; a write takes its full width. @param index behind the general counters */
const ofFixed = (fixed: number, index: number): MsrRows => [
  [MSR.FIXED_CTR0 + fixed, perf((p) => p.value(index), (p, value) => p.setFullValue(index, value))],
]; // biome-ignore format: a register to a line

const FIXED_CONTROL: MsrRows = [
  [MSR.FIXED_CTR_CTRL, perf((p) => p.fixedControl, (p, value) => p.setFixedControl(value))],
]; // biome-ignore format: a register to a line

const OF_ALL: MsrRows = [
  [MSR.PERF_GLOBAL_STATUS, perf((p) => p.status)],
  [MSR.PERF_GLOBAL_CTRL, perf((p) => p.globalControl, (p, value) => p.setGlobalControl(value))],
  [MSR.PERF_GLOBAL_OVF_CTRL, perf(() => 0n, (p, value) => p.acknowledge(value))],
]; // biome-ignore format: a register to a line

/** With version 2 of leaf 0xA comes IA32_DEBUGCTL's part in it (SDM 3B, 20.2.2); and PDCM of leaf 1 says that capabilities can be asked for. */
const OF_PC: MsrRows = [
  [MSR.DEBUGCTL, perf((p) => p.debugControl, (p, value) => p.setDebugControl(value))],
  [MSR.PERF_CAPABILITIES, perf((p) => p.capabilities)],
]; // biome-ignore format: a register to a line

export function perfRows({ isPc, perf: { counters, fixedCounters, fullWidth } }: CpuModel): MsrRows {
  const each = Array.from({ length: counters }, (_, index) => ofCounter(index, fullWidth)).flat();
  const fixed = Array.from({ length: fixedCounters }, (_, index) => ofFixed(index, counters + index)).flat();
  return [...each, ...fixed, ...(fixedCounters > 0 ? FIXED_CONTROL : []), ...OF_ALL, ...(isPc ? OF_PC : [])];
}
