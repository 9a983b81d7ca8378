/** The invariants of deferred unwinding for this project's kernel, in all its versions. */
import type { MonitorPlugin } from '../sweep/monitor.js';
import { HALLMARK } from './routines.js';
import { Watcher } from './watcher.js';

export const UNWIND: MonitorPlugin = {
  name: 'unwind',
  fits: (machine) => machine.symbols.lookup(HALLMARK) !== undefined,
  attach: (machine) => new Watcher(machine),
};
