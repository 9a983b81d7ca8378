/** A schedule opened, run and told. */
import { EXCEPTIONS } from '../../emu/cpu/architecture.js';
import { CodeReader } from '../explain/code-reader.js';
import { StateReader } from '../explain/state-reader.js';
import type { Story } from '../explain/story.js';
import { tellSchedule } from '../explain/tell.js';
import { UNWIND } from '../invariants/unwind.js';
import type { Schedule } from '../schedule/schedule.js';
import type { MonitorPlugin } from '../sweep/monitor.js';
import { syscallName } from '../trace/syscall-names.js';
import { openImage } from './open.js';
import { openSchedule } from './open-schedule.js';

/** Who knows what must hold in a guest. */
const PLUGINS: readonly MonitorPlugin[] = [UNWIND];

/**
 * Runs a schedule's guest and tells what happens around its choices.
 * @throws what `openSchedule` throws; ScheduleError for a choice that the guest cannot take
 */
export async function explain(schedule: Schedule): Promise<Story> {
  const { machine, program } = await openSchedule(schedule);
  try {
    const kernel = StateReader.fits(machine)
      ? new StateReader(machine, (nr) => syscallName(nr).name)
      : undefined;
    const code = await CodeReader.open(machine, openImage(schedule.guest.image.name), (cpu) => {
      const name = kernel?.programOf(cpu);
      return name === undefined ? undefined : program(name);
    });
    const exceptionName = (vector: number): string => EXCEPTIONS[vector]?.mnemonic ?? `vector ${vector}`;
    const plugin = PLUGINS.find((each) => each.fits(machine));
    return tellSchedule(schedule, { machine, code, kernel, plugin, exceptionName });
  } finally {
    machine.close();
  }
}
