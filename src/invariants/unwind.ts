/** The invariants of deferred unwinding for this project's kernel, in all its versions. */
import type { MonitorPlugin } from '../sweep/monitor.js';
import { HALLMARK } from './routines.js';
import { Watcher } from './watcher.js';

export const UNWIND: MonitorPlugin = {
  name: 'unwind',
  // Linux has the routine too, and lays its structures out otherwise.
  fits: ({ symbols }) =>
    symbols.lookup(HALLMARK) !== undefined && symbols.constant('TASK_unwind_info') !== undefined,
  attach: (machine) => new Watcher(machine),
};
