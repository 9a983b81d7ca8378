/** A story as lines of text, for a terminal and for a mail. */
import { outlineOf, type Row } from './outline.js';
import { pathOf, type Step, type Story } from './story.js';

/** How the parts of a line are coloured. */
export interface StoryPaint {
  readonly context: (text: string) => string;
  readonly choice: (text: string) => string;
  readonly change: (text: string) => string;
  readonly note: (text: string) => string;
  readonly broken: (text: string) => string;
  readonly faint: (text: string) => string;
}

const same = (text: string): string => text;
export const PLAIN_STORY: StoryPaint = {
  context: same,
  choice: same,
  change: same,
  note: same,
  broken: same,
  faint: same,
};

export interface TextOptions {
  readonly paint?: StoryPaint;
  /** Every step, nothing folded. */
  readonly full?: boolean;
}

/** Columns of a line; a long instruction or name may go over it. */
const WIDTH = 100;
const NUMBER_WIDTH = 8;
const WHERE_WIDTH = 28;
const TEXT_WIDTH = 36;
const BAR = '│ ';
const INDENT = '    ';

/** The lines, without newlines. */
export function storyLines(story: Story, { paint = PLAIN_STORY, full = false }: TextOptions = {}): string[] {
  const teller = new TextTeller(story, paint);
  return [
    ...teller.head(),
    '',
    ...outlineOf(story, full).flatMap((row) => teller.row(row)),
    '',
    ...teller.end(),
  ];
}

class TextTeller {
  readonly #story: Story;
  readonly #paint: StoryPaint;
  /** Of the last line. */
  #cpu: number | undefined;
  /** Where each CPU was last. */
  readonly #paths = new Map<number, readonly number[]>();
  /** Contexts that the line is in. */
  #depth = 0;

  constructor(story: Story, paint: StoryPaint) {
    this.#story = story;
    this.#paint = paint;
  }

  head(): string[] {
    const { guest, tasks } = this.#story;
    const states = tasks.map(({ name, fields }) => {
      const words = fields.map((field) => `${field.name} ${field.value}`).join(', ');
      return `${name}: ${words === '' ? 'nothing known' : words}`;
    });
    return [guest, ...states].flatMap((line) => wrapped(line, WIDTH));
  }

  row(row: Row): string[] {
    const first = this.#story.steps[row.kind === 'step' ? row.step : row.from]!;
    if (first.action.kind === 'skip') return this.#skip(first, first.action.count);
    const headings = this.#headings(first);
    const lines = row.kind === 'step' ? this.#step(first) : [this.#fold(row, first)];
    return [...headings, ...lines];
  }

  end(): string[] {
    const { end, differs, broken } = this.#story;
    const paint = this.#paint;
    return [
      `The end: ${end}.`,
      ...(differs === undefined ? [] : [paint.broken(`Not the run of the schedule: ${differs}.`)]),
      ...(broken.length === 0 ? [] : ['', 'Broken:']),
      ...broken.flatMap(({ id, sentence }) =>
        wrapped(`${id}: ${sentence}`, WIDTH - 2).map((line) => `  ${paint.broken(line)}`),
      ),
    ];
  }

  /** What is entered before this step; where another CPU goes on, in what it is already. */
  #headings({ cpu, context }: Step): string[] {
    const before = this.#paths.get(cpu) ?? [];
    const path = pathOf(this.#story, context);
    const label = (index: number): string => this.#story.contexts[index]!.label;
    const common = path.filter((index, depth) => index === before[depth]);
    const lines: string[] = [];
    if (cpu !== this.#cpu && this.#story.cpus > 1) {
      const names = [`CPU ${cpu}`, ...common.map(label)].join(', ');
      lines.push(this.#paint.context(`── ${names} `.padEnd(WIDTH, '─')));
    }
    for (const index of path.slice(common.length))
      lines.push(this.#line('', path.indexOf(index), this.#paint.context(label(index))));
    if (common.length === path.length && path.length < before.length)
      lines.push(this.#line('', path.length - 1, this.#paint.context(`back in ${label(context)}`)));
    this.#cpu = cpu;
    this.#paths.set(cpu, path);
    this.#depth = path.length;
    return lines;
  }

  #step(step: Step): string[] {
    const { action, notes } = step;
    const at = String(step.at);
    const lines: string[] = [];
    if (action.kind === 'instruction')
      lines.push(this.#line(at, this.#depth, this.#instruction(action.code)));
    else if (action.kind === 'choice')
      lines.push(this.#line(at, this.#depth, this.#paint.choice(`>>> ${action.choice}: ${notes[0]!.text}`)));
    return [...lines, ...this.#meaning(step)];
  }

  /** What a step has meant and changed, below it. */
  #meaning({ notes, state, task: own }: Step): string[] {
    const { change, note, broken } = this.#paint;
    const below = (text: string, paint: (text: string) => string): string[] =>
      wrapped(text, WIDTH - NUMBER_WIDTH - BAR.length * this.#depth - INDENT.length - 1).map((line) =>
        this.#line('', this.#depth, INDENT + paint(line)),
      );
    return [
      ...notes
        .filter(({ kind }) => kind !== 'choice')
        .flatMap(({ kind, text }) =>
          kind === 'violation' ? below(`!!! ${text}`, broken) : below(`* ${text}`, note),
        ),
      ...state.flatMap(({ name, before, after, task }) => {
        const whose = task === own ? '' : ` of ${this.#story.tasks[task]!.name}`;
        return below(`${name}${whose}: ${before} -> ${after}`, change);
      }),
    ];
  }

  /** Not in any context: it may pass through many. */
  #skip(step: Step, count: number): string[] {
    this.#paths.clear();
    this.#cpu = undefined;
    this.#depth = 0;
    const told = this.#line(String(step.at), 0, this.#paint.faint(`… ${count} instructions, not told`));
    return [told, ...this.#meaning(step)];
  }

  #instruction(code: number): string {
    const { where, text, source } = this.#story.code[code]!;
    const left = `${where.padEnd(WHERE_WIDTH)} ${text.padEnd(TEXT_WIDTH)}`;
    const short = source?.slice(source.lastIndexOf('/') + 1);
    return short === undefined ? left.trimEnd() : `${left} ${this.#paint.faint(short)}`;
  }

  #fold({ from, to, routines }: Extract<Row, { kind: 'fold' }>, { at }: Step): string {
    const count = `… ${to - from} instructions`;
    const room = WIDTH - NUMBER_WIDTH - BAR.length * this.#depth - count.length - ': '.length;
    return this.#line(String(at), this.#depth, this.#paint.faint(`${count}${listed(routines, room)}`));
  }

  #line(at: string, depth: number, text: string): string {
    return `${this.#paint.faint(at.padStart(NUMBER_WIDTH))} ${this.#paint.faint(BAR.repeat(depth))}${text}`.trimEnd();
  }
}

/** As many names as there is room for. */
function listed(names: readonly string[], room: number): string {
  if (names.length === 0) return '';
  let count = names.length;
  const text = (): string => {
    const more = names.length - count;
    return `: ${names.slice(0, count).join(', ')}${more > 0 ? `, ${more} more` : ''}`;
  };
  while (count > 1 && text().length > room) count--;
  return text();
}

/** Text in lines of at most `width` columns, those behind the first indented; a word is never cut. */
function wrapped(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line);
      line = INDENT + word;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  return [...lines, line];
}
