/** A schedule opened, run and told. */
import { readFileSync } from 'node:fs';
import { EXCEPTIONS } from '../../emu/cpu/architecture.js';
import { CodeReader } from '../explain/code-reader.js';
import { PAGE_FILES, storyPage } from '../explain/html.js';
import { StateReader } from '../explain/state-reader.js';
import type { Story } from '../explain/story.js';
import { tellSchedule } from '../explain/tell.js';
import { UNWIND } from '../invariants/unwind.js';
import type { Schedule } from '../schedule/schedule.js';
import type { MonitorPlugin } from '../sweep/monitor.js';
import { syscallName } from '../trace/syscall-names.js';
import { openImage } from './open.js';
import { openSchedule } from './open-schedule.js';
import { packagePath } from './packed.js';

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

/** A story as a page of HTML that needs no other file. */
export function pageOf(story: Story): string {
  const read = (name: string): string => readFileSync(packagePath(`src/explain/page/${name}`), 'utf8');
  return storyPage(story, { style: read(PAGE_FILES.style), scripts: PAGE_FILES.scripts.map(read) });
}
