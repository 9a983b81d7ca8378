/** `--check-determinism`: the schedule of a run is run again on a second machine, which must do the same. */
import { openSchedule } from '../lab/open-schedule.js';
import { replay } from '../lab/replay.js';
import type { Schedule } from '../schedule/schedule.js';
import { EXIT_STATUS } from './errors.js';
import { hearingInterrupts } from './interrupt.js';
import { INTERRUPTED } from './outcome.js';
import { differenceText, endText } from './replay-text.js';

/** @param log the events of the first run. Tells on stderr how the runs compare; the exit status is changed where they do not. */
export async function checkSecondRun(schedule: Schedule, log: () => string | undefined): Promise<void> {
  const guest = await openSchedule(schedule);
  try {
    const result = await hearingInterrupts((interrupted) =>
      replay(guest.machine, schedule, { log, interrupted }),
    );
    if (result.kind === 'same') {
      process.stderr.write(`unwindlab: two runs were the same: ${endText(result.end)}\n`);
    } else if (result.kind === 'interrupted') {
      process.stderr.write('unwindlab: interrupted in the second run\n');
      process.exitCode = INTERRUPTED;
    } else {
      process.stderr.write(differenceText(result, schedule.guest, guest, ['first', 'second']));
      process.exitCode = EXIT_STATUS.disagrees;
    }
  } finally {
    guest.machine.close();
  }
}
