/** What a task and its tracers find when it goes on: the stack it left with, its registers, and nothing still to do. */
import { changedRegister, REGISTER_NAMES, wordsOf } from '../user-registers.js';
import type { Invariant } from './rule.js';

const hex = (value: bigint | undefined): string =>
  value === undefined ? 'nothing' : `0x${value.toString(16)}`;

export const traceOfEntry: Invariant = {
  id: 'trace-of-entry',
  call({ view, cpu, task, entry, tracer, trace }) {
    if (entry.registers === undefined) return undefined;
    if (trace.length === 0 && task.hasMemory && !task.hasCache) return undefined; // -ENOMEM: there was no page for the trace
    const { entries } = view.walk(task, entry.registers, cpu);
    if (trace.length === entries.length && entries.every((ip, index) => ip === trace[index]))
      return undefined;
    const at = entries.findIndex((ip, index) => ip !== trace[index]);
    const where = at < 0 ? entries.length : at;
    return (
      `expected ${tracer} to be given the ${entries.length} entries of the stack with which task ${entry.pid} left user mode, ` +
      `found ${trace.length}, the first that differs being ${hex(trace[where])} in place of ${hex(entries[where])}`
    );
  },
};

export const noWorkInUser: Invariant = {
  id: 'no-work-in-user',
  user({ view, task }) {
    const left = [
      task.pending && 'the work of a request',
      task.works !== 0n && 'a task work',
      (task.tiFlags & view.layout._TIF_NOTIFY_RESUME) !== 0 && 'TIF_NOTIFY_RESUME',
    ].filter((what) => what !== false);
    if (left.length === 0) return undefined;
    return `expected nothing to be pending as task ${task.pid} executes user code, found ${left.join(' and ')}`;
  },
};

export const userRegisters: Invariant = {
  id: 'user-registers',
  user({ cpu, entry }) {
    if (entry.registers === undefined) return undefined;
    const now = wordsOf(cpu);
    const index = changedRegister(entry.registers, now);
    if (index < 0) return undefined;
    return `expected ${REGISTER_NAMES[index]} of task ${entry.pid} to be ${hex(entry.registers.words[index])}, as it left user mode, found ${hex(now[index])}`;
  },
};
