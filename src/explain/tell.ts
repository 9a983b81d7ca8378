/**
 * A schedule as a story. It is run twice: once at full speed, to see where each choice strikes and since when the CPU that it
 * strikes has been in the kernel; and once more, step by step from that entry on.
 */
import type { Machine, Outcome } from '../../emu/machine.js';
import { applyChoice } from '../schedule/apply.js';
import { type Choice, fileNames, formatSchedule, type Schedule } from '../schedule/schedule.js';
import type { MonitorPlugin } from '../sweep/monitor.js';
import type { CodeReader } from './code-reader.js';
import { Recorder } from './recorder.js';
import type { StateReader } from './state-reader.js';
import type { Broken, Story } from './story.js';

/** Instructions that are told before a choice, if its CPU was in user mode or has been in the kernel for too long. */
const LEAD = 12;
/** Instructions in a row that are told one by one at most, and those of a whole story; some 10 thousand take a second. */
const LONGEST = 30_000;
const LONGEST_STORY = 100_000;
/** Of a schedule that strikes nowhere, its last ones. */
const LAST = 2000;
const USER_CPL = 3;

export interface StoryParts {
  /** Loaded, and nothing of it has run. */
  readonly machine: Machine;
  readonly code: CodeReader;
  readonly kernel: StateReader | undefined;
  readonly plugin: MonitorPlugin | undefined;
  readonly exceptionName: (vector: number) => string;
}

type Going = Extract<Choice, { kind: 'run' | 'cpu' }>;
type Strike = Exclude<Choice, Going>;
/** Input comes while the guest runs for its own sake; the story is of what strikes it. */
const strikes = (choice: Choice): boolean => !goesOn(choice) && choice.kind !== 'input';
const goesOn = (choice: Choice): choice is Going => choice.kind === 'run' || choice.kind === 'cpu';

/** Runs the schedule and tells it. @throws ScheduleError for a CPU that the machine does not have */
export function tellSchedule(schedule: Schedule, parts: StoryParts): Story {
  const { machine } = parts;
  const beginning = machine.snapshot();
  const leads = leadsOf(machine, schedule.choices);
  machine.restore(beginning);
  machine.release(beginning);
  const monitor = parts.plugin?.attach(machine);
  const recorder = new Recorder({ ...parts, monitor });
  const outcome = tellChoices(recorder, schedule.choices, leads);
  recorder.close();
  return {
    schedule: formatSchedule(schedule),
    guest: guestText(schedule),
    cpus: machine.cpus.length,
    contexts: recorder.contexts.all,
    code: parts.code.code,
    tasks: recorder.tasks,
    steps: recorder.steps,
    broken: [...recorder.broken, ...brokenUnseen(schedule, recorder, machine)],
    end: endText(outcome),
    differs: differenceOf(machine, schedule),
  };
}

/** Tells what lies around the strikes, and passes over the rest. */
function tellChoices(
  recorder: Recorder,
  choices: readonly Choice[],
  leads: readonly number[],
): Outcome | undefined {
  const firstStrike = choices.findIndex(strikes);
  for (const [index, choice] of choices.entries()) {
    let outcome: Outcome | undefined;
    if (goesOn(choice)) {
      const isBehindStrike = firstStrike >= 0 && index > firstStrike;
      const head = isBehindStrike ? Math.max(0, Math.min(LONGEST, LONGEST_STORY - recorder.steps.length)) : 0;
      const tail = firstStrike < 0 && index === choices.length - 1 ? LAST : leads[index]!;
      const skipped = Math.max(0, choice.count - head - tail);
      const told = choice.count - skipped;
      const first = skipped === 0 ? told : Math.min(head, told);
      outcome =
        recorder.tell(choice, first) ?? recorder.skip(choice, skipped) ?? recorder.tell(choice, told - first);
    } else outcome = recorder.choose(choice, sentenceOf(choice));
    if (outcome !== undefined) return outcome;
  }
  return undefined;
}

/** For each choice to run on, how many of its last instructions lead to what strikes behind it. */
function leadsOf(machine: Machine, choices: readonly Choice[]): number[] {
  /** When each CPU has last left user mode, in instructions of all CPUs. */
  const entered = new Map<number, number>();
  const note = ({ cpu }: { readonly cpu: number }): void => {
    if (machine.cpus[cpu]!.state.cpl === USER_CPL) entered.set(cpu, machine.retired);
  };
  const { events } = machine;
  const unsubscribe = (['syscall', 'interrupt', 'exception', 'nmi'] as const).map((kind) =>
    events.on(kind, note),
  );
  let ended = false;
  const leads = choices.map((choice, index) => {
    ended ||= applyChoice(machine, choice) !== undefined;
    const next = choices[index + 1];
    const struck = next !== undefined && 'cpu' in next ? machine.cpus[next.cpu] : undefined;
    const since = struck?.state.cpl === 0 ? entered.get(struck.index) : undefined;
    const inside = since === undefined ? LEAD : machine.retired - since + 2;
    return ended || inside > LONGEST ? LEAD : Math.max(inside, LEAD);
  });
  for (const end of unsubscribe) end();
  return leads;
}

function sentenceOf(choice: Strike): string {
  switch (choice.kind) {
    case 'nmi':
      return `an NMI is raised at CPU ${choice.cpu}`;
    case 'irq':
      return `interrupt 0x${choice.vector.toString(16)} is raised at CPU ${choice.cpu}`;
    case 'deliver':
      return `what is pending at CPU ${choice.cpu} is delivered`;
    case 'call':
      return `CPU ${choice.cpu} is made to call ${choice.symbol}`;
    case 'input':
      return `${choice.bytes.length} bytes arrive on the serial port`;
  }
}

const ENDS: Readonly<Record<Outcome['kind'], string>> = {
  poweroff: 'the guest has powered off',
  'debug-exit': 'the guest has ended itself',
  reset: 'the guest has reset itself',
  budget: 'the schedule ends here',
  'triple-fault': 'a triple fault',
  hang: 'every CPU is halted and nothing will wake one',
  'bus-error': 'an access to physical memory that is not there',
  reached: 'the schedule ends here',
  stopped: 'the schedule ends here',
};

const endText = (outcome: Outcome | undefined): string => ENDS[outcome?.kind ?? 'budget'];

function guestText({ guest }: Schedule): string {
  const { commandLine, cpus, patches } = guest;
  const words = fileNames(guest);
  if (commandLine !== '') words.push(`"${commandLine}"`);
  words.push(`${cpus} CPU${cpus === 1 ? '' : 's'}`);
  for (const { at } of patches) words.push(`patched at ${at}`);
  return words.join(', ');
}

/**
 * What the schedule says to be broken and nobody has seen here at a step, such as that the exit was not reached: it is of the
 * run as a whole.
 */
function brokenUnseen({ breaks = [] }: Schedule, recorder: Recorder, machine: Machine): Broken[] {
  const last = recorder.steps.at(-1);
  const cpu = machine.cpus[last?.cpu ?? 0]!;
  const { label } = recorder.contexts.all[recorder.contexts.of(cpu)]!;
  const where = `CPU ${cpu.index} is at ${machine.symbols.format(cpu.state.rip)} in ${label}`;
  return breaks
    .filter((id) => recorder.broken.every((broken) => broken.id !== id))
    .map((id) => ({
      id,
      sentence: `the schedule says so of its run, at the end of which ${where}.`,
      step: last && recorder.steps.length - 1,
    }));
}

function differenceOf(machine: Machine, { end }: Schedule): string | undefined {
  if (end === undefined) return undefined;
  const { digest } = machine.events.hash;
  if (end.retired === machine.retired && end.hash === digest) return undefined;
  return `expected the run to end after ${end.retired} instructions with hash ${end.hash}, found ${machine.retired} with ${digest}`;
}
