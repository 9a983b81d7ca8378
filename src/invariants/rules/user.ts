/** What a task and its tracers find when it goes on: the stack it left with, its registers, and nothing still to do. */
import { changedRegister, REGISTER_NAMES, wordsOf } from '../user-registers.js';
import { hex, type Invariant } from './rule.js';

export const traceOfEntry: Invariant = {
  id: 'trace-of-entry',
  call({ view, entry, tracer, trace, walked }) {
    if (walked === undefined) return undefined;
    if (trace.length === walked.length && walked.every((ip, index) => ip === trace[index])) return undefined;
    const task = view.task(entry.start.task);
    if (trace.length === 0 && task?.hasMemory && !task.hasCache) return undefined; // -ENOMEM: there was no page for the trace
    const differs = walked.findIndex((ip, index) => ip !== trace[index]);
    const at = differs < 0 ? walked.length : differs;
    return (
      `expected ${tracer} to be given the ${walked.length} entries of the stack with which task ${entry.start.pid} left user mode, ` +
      `found ${trace.length}, the first that differs being ${hex(trace[at])} in place of ${hex(walked[at])}`
    );
  },
};

export const noWorkInUser: Invariant = {
  id: 'no-work-in-user',
  user({ task }) {
    const left: string[] = [];
    if (task.pending) left.push('the work of a request');
    if (task.works !== 0n) left.push('a task work');
    if (task.mustNotify) left.push('TIF_NOTIFY_RESUME');
    if (left.length === 0) return undefined;
    return `expected nothing to be pending as task ${task.pid} executes user code, found ${left.join(' and ')}`;
  },
};

export const userRegisters: Invariant = {
  id: 'user-registers',
  user({ cpu, entry }) {
    const { registers, pid } = entry.start;
    if (registers === undefined) return undefined;
    const now = wordsOf(cpu);
    const index = changedRegister(registers, now);
    if (index < 0) return undefined;
    return `expected ${REGISTER_NAMES[index]} of task ${pid} to be ${hex(registers.words[index])}, as it left user mode, found ${hex(now[index])}`;
  },
};
