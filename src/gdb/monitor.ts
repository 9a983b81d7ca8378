/** gdb's `monitor` commands. */
import { endOf } from '../schedule/recorder.js';
import { formatSchedule, type GuestSpec } from '../schedule/schedule.js';
import type { Motion } from './motion.js';
import type { Bookmark, Timeline } from './timeline.js';

export interface MonitorParts {
  readonly timeline: Timeline;
  readonly motion: Motion;
  readonly guest: GuestSpec;
  readonly isReversible: boolean;
  /** The CPU that gdb has chosen. */
  readonly cpu: () => number;
}

interface Command {
  readonly usage: string;
  readonly what: string;
  /** @returns what is printed; undefined where the words are not as `usage` says */
  run(words: readonly string[]): string | undefined;
}

const MOST_BOOKMARKS = 64;
const HIDDEN = { nmi: 'nmi', irq: 'interrupt' } as const;

export class Monitor {
  readonly #parts: MonitorParts;
  readonly #bookmarks: Bookmark[] = [];
  readonly #commands: Readonly<Record<string, Command>>;
  /** The guest has been moved: gdb must read everything again. */
  #hasMoved = false;
  /** The guest stops for gdb where it ends by itself. */
  stopsAtExit = false;

  constructor(parts: MonitorParts) {
    this.#parts = parts;
    this.#commands = {
      nmi: {
        usage: 'nmi [CPU]',
        what: 'raises an NMI at a CPU, or at the one of the present thread',
        run: ([text, ...rest]) => (rest.length > 0 ? undefined : this.#nmi(text)),
      },
      schedule: {
        usage: 'schedule',
        what: 'the run up to here as one line, for unwindlab replay',
        run: ([word]) => (word === undefined ? this.#schedule() : undefined),
      },
      snapshot: {
        usage: 'snapshot',
        what: 'keeps this place',
        run: ([word]) => (word === undefined ? this.#snapshot() : undefined),
      },
      restore: {
        usage: 'restore [N]',
        what: 'goes back to a place that was kept, or to the last one',
        run: ([text, ...rest]) => (rest.length > 0 ? undefined : this.#restore(text)),
      },
      'hide-nmi': this.#hiding('nmi'),
      'hide-irq': this.#hiding('irq'),
      'stop-at-exit': {
        usage: 'stop-at-exit on|off',
        what: 'stop where the guest ends by itself, to go back from there; off at first',
        run: ([word]) =>
          onOff(word, (isOn) => {
            this.stopsAtExit = isOn;
          }),
      },
    };
  }

  /** @returns what is printed */
  run(line: string): string {
    const [name = '', ...words] = line.trim().split(/\s+/);
    const command = Object.hasOwn(this.#commands, name) ? this.#commands[name] : undefined;
    if (command === undefined) return this.#help();
    return command.run(words) ?? `expected monitor ${command.usage}, found ${JSON.stringify(line.trim())}\n`;
  }

  /** Whether a command has moved the guest since the last question. */
  takeMoved(): boolean {
    const hasMoved = this.#hasMoved;
    this.#hasMoved = false;
    return hasMoved;
  }

  #help(): string {
    const rows = Object.values(this.#commands).map(({ usage, what }) => `${usage.padEnd(22)}${what}\n`);
    return `monitor commands of unwindlab:\n${rows.join('')}`;
  }

  #nmi(text: string | undefined): string | undefined {
    const { timeline, cpu } = this.#parts;
    const count = timeline.machine.cpus.length;
    const index = text === undefined ? cpu() : /^\d$/.test(text) ? Number(text) : Number.NaN;
    if (!(index < count)) return `expected a CPU from 0 to ${count - 1}, found ${JSON.stringify(text)}\n`;
    const outcome = timeline.decide({ kind: 'nmi', cpu: index });
    return outcome === undefined || outcome.kind === 'hang'
      ? `an NMI is pending at CPU ${index}\n`
      : `the guest has ended: ${outcome.kind}\n`;
  }

  #schedule(): string {
    const { timeline, guest } = this.#parts;
    const choices = timeline.choices();
    if (choices === undefined)
      return 'this run has no schedule: gdb has written memory or registers, which a schedule cannot say\n';
    const kind = timeline.outcome?.kind ?? 'stopped';
    return `${formatSchedule({ guest, choices, end: endOf(timeline.machine, kind) })}\n`;
  }

  #snapshot(): string {
    if (!this.#parts.isReversible) return NOT_REVERSIBLE;
    if (this.#bookmarks.length === MOST_BOOKMARKS)
      return `expected at most ${MOST_BOOKMARKS} places to be kept\n`;
    const { timeline } = this.#parts;
    const number = this.#bookmarks.push(timeline.bookmark());
    return `kept as ${number}: step ${timeline.machine.retired}\n`;
  }

  #restore(text: string | undefined): string {
    if (!this.#parts.isReversible) return NOT_REVERSIBLE;
    const number = text === undefined ? this.#bookmarks.length : Number(text);
    const bookmark = this.#bookmarks[number - 1];
    if (bookmark === undefined)
      return `expected a place from 1 to ${this.#bookmarks.length}, found ${JSON.stringify(text ?? 'none')}\n`;
    const { timeline } = this.#parts;
    timeline.goBackTo(bookmark);
    this.#hasMoved = true;
    return `back at ${number}: step ${timeline.machine.retired}; \`maintenance flush register-cache\` shows it\n`;
  }

  #hiding(name: keyof typeof HIDDEN): Command {
    const { hidden } = this.#parts.motion;
    return {
      usage: `hide-${name} on|off`,
      what: `whether steps pass over the handler of an ${name === 'nmi' ? 'NMI' : 'interrupt'}; off at first`,
      run: ([word]) =>
        onOff(word, (isOn) => {
          if (isOn) hidden.add(HIDDEN[name]);
          else hidden.delete(HIDDEN[name]);
        }),
    };
  }
}

const NOT_REVERSIBLE = 'this command goes forward only: unwindlab boot and replay go back\n';

function onOff(word: string | undefined, set: (isOn: boolean) => void): string | undefined {
  if (word !== 'on' && word !== 'off') return undefined;
  set(word === 'on');
  return `${word}\n`;
}
