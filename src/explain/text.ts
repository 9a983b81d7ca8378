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
  /** Where the last line was. */
  #cpu: number | undefined;
  #path: readonly number[] = [];

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
    return [guest, ...states];
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
      ...broken.flatMap(({ id, sentence }) => wrapped(`${id}: `, sentence).map(paint.broken)),
    ];
  }

  /** What is entered between the last line and this step: a CPU, contexts. */
  #headings({ cpu, context }: Step): string[] {
    const lines: string[] = [];
    if (cpu !== this.#cpu) {
      if (this.#story.cpus > 1) lines.push(this.#paint.context(`── CPU ${cpu} `.padEnd(WIDTH, '─')));
      this.#cpu = cpu;
      this.#path = [];
    }
    const path = pathOf(this.#story, context);
    const common = path.findIndex((index, depth) => index !== this.#path[depth]);
    const isBackOut = common < 0 && path.length < this.#path.length;
    for (let depth = common < 0 ? path.length : common; depth < path.length; depth++)
      lines.push(this.#line('', depth, this.#paint.context(this.#story.contexts[path[depth]!]!.label)));
    if (isBackOut) lines.push(this.#line('', path.length - 1, this.#paint.context(this.#label(context))));
    this.#path = path;
    return lines;
  }

  #label(context: number): string {
    return `back in ${this.#story.contexts[context]!.label}`;
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
    const lines: string[] = [];
    const below = (text: string): string => this.#line('', this.#depth, `    ${text}`);
    for (const { kind, text } of notes) {
      if (kind === 'choice') continue;
      lines.push(
        below(kind === 'violation' ? this.#paint.broken(`!!! ${text}`) : this.#paint.note(`* ${text}`)),
      );
    }
    for (const { name, before, after, task } of state) {
      const whose = task === own ? '' : ` of ${this.#story.tasks[task]!.name}`;
      lines.push(below(this.#paint.change(`${name}${whose}: ${before} -> ${after}`)));
    }
    return lines;
  }

  /** Not in any context: it may pass through many. */
  #skip(step: Step, count: number): string[] {
    this.#path = [];
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

  /** Nested contexts; a line inside `depth` of them. */
  get #depth(): number {
    return this.#path.length;
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

/** A sentence in lines, those behind the first indented. */
function wrapped(head: string, sentence: string): string[] {
  const lines: string[] = [];
  let line = `  ${head}`;
  for (const word of sentence.split(' ')) {
    if (line.length + word.length > WIDTH) {
      lines.push(line.trimEnd());
      line = '    ';
    }
    line += `${word} `;
  }
  return [...lines, line.trimEnd()];
}
