// The lanes: which context each CPU is in, over the rows of the outline.
import { byId, contextAt, element, firstOf, pathOf, rows, stepAt, story } from './model.js';

/** @typedef {import('../outline.js').Row} Row */

/** Pixels, as page.css has the labels. */
const LANE_HEIGHT = 22;
const STRIP_HEIGHT = 18;
/** Pixels; narrower ones scroll. */
const LEAST_UNIT = 5;
const KINDS = /** @type {const} */ ([
  ['user', 'user'],
  ['kernel', 'kernel'],
  ['syscall', 'system call'],
  ['exception', 'exception'],
  ['interrupt', 'IRQ'],
  ['nmi', 'NMI'],
]);

/** How wide a row is, in units: a fold grows with the logarithm of what it hides. @param {Row} row */
function widthOf(row) {
  if (row.kind === 'fold') return 1.5 + Math.log2(row.to - row.from) / 2;
  return stepAt(row.step).action.kind === 'skip' ? 3 : 1;
}

/** Where each row begins, in units; one more than there are rows. */
export const offsets = [0];
for (const row of rows) offsets.push(/** @type {number} */ (offsets.at(-1)) + widthOf(row));
const allUnits = /** @type {number} */ (offsets.at(-1));

/** Where a step lies, in units. @param {number} row @param {number} step */
export function positionOf(row, step) {
  const shown = /** @type {Row} */ (rows[row]);
  const from = /** @type {number} */ (offsets[row]);
  const part = shown.kind === 'fold' ? (step - shown.from) / (shown.to - shown.from) : 0;
  return from + part * widthOf(shown) + 0.5;
}

/** The lanes that are used, by CPU and kind, from top to bottom. */
const lanes = Array.from({ length: story.cpus }, (_, cpu) => cpu).flatMap((cpu) =>
  KINDS.filter(([kind]) =>
    story.steps.some(
      ({ context, action }) =>
        action.kind !== 'skip' &&
        pathOf(context).some((index) => contextAt(index).cpu === cpu && contextAt(index).kind === kind),
    ),
  ).map(([kind, label]) => ({ cpu, kind, label })),
);

/** @param {number} context */
function laneOf(context) {
  const { cpu, kind } = contextAt(context);
  return lanes.findIndex((lane) => lane.cpu === cpu && lane.kind === kind);
}

/** Rows in a row in one context, in units. */
function stretches() {
  /** @type {{ cpu: number, context: number, from: number, to: number }[]} */
  const all = [];
  for (const [index, row] of rows.entries()) {
    const { cpu, context, action } = stepAt(firstOf(row));
    if (action.kind === 'skip') continue;
    const from = /** @type {number} */ (offsets[index]);
    const to = /** @type {number} */ (offsets[index + 1]);
    const last = all.at(-1);
    if (last?.context === context && last.to === from) last.to = to;
    else all.push({ cpu, context, from, to });
  }
  return all;
}

/** An element of SVG. @param {string} tag @param {Record<string, string | number>} attributes @param {string} [title] */
function drawn(tag, attributes, title) {
  const made = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, String(value));
  if (title !== undefined) {
    const text = document.createElementNS('http://www.w3.org/2000/svg', 'title');
    text.textContent = title;
    made.append(text);
  }
  return made;
}

/** @param {number} lane */
const middleOf = (lane) => STRIP_HEIGHT + (lane + 0.5) * LANE_HEIGHT;

/** What the running and the interrupted contexts of each CPU look like. @param {number} unit */
function drawStretches(unit) {
  const shapes = [];
  /** Of each CPU, where it was last. @type {Map<number, { context: number, to: number }>} */
  const last = new Map();
  for (const { cpu, context, from, to } of stretches()) {
    const lane = laneOf(context);
    const before = last.get(cpu);
    if (before !== undefined) {
      const previous = laneOf(before.context);
      for (const waiting of pathOf(before.context)) shapes.push(rest(waiting, before.to, from, unit));
      if (previous !== lane)
        shapes.push(
          drawn('line', {
            class: 'turn',
            x1: from * unit,
            x2: from * unit,
            y1: middleOf(previous),
            y2: middleOf(lane),
          }),
        );
    }
    for (const waiting of pathOf(context).slice(0, -1)) shapes.push(rest(waiting, from, to, unit));
    shapes.push(
      drawn(
        'rect',
        {
          class: `run ${contextAt(context).kind}`,
          x: from * unit + 0.5,
          y: middleOf(lane) - 6,
          width: Math.max((to - from) * unit - 1, 2),
          height: 12,
          rx: 3,
        },
        contextAt(context).label,
      ),
    );
    last.set(cpu, { context, to });
  }
  return shapes;
}

/** A context that waits. @param {number} context @param {number} from @param {number} to @param {number} unit */
function rest(context, from, to, unit) {
  const y = middleOf(laneOf(context));
  return drawn('line', {
    class: `rest ${contextAt(context).kind}`,
    x1: from * unit,
    x2: to * unit,
    y1: y,
    y2: y,
  });
}

/** What stands above the lanes: choices, requests, callbacks, changes, violations. @param {number} unit @param {number} height */
function drawMarks(unit, height) {
  return rows.flatMap((row, index) => {
    if (row.kind !== 'step') return [];
    const { notes, state, action } = stepAt(row.step);
    const x = ((offsets[index] ?? 0) + 0.5) * unit;
    const shapes = [];
    const violation = notes.find(({ kind }) => kind === 'violation');
    const meaning = notes.find(({ kind }) => kind !== 'violation' && kind !== 'choice');
    if (action.kind === 'choice') {
      shapes.push(drawn('line', { class: 'strike', x1: x, x2: x, y1: 8, y2: height }));
      shapes.push(
        drawn('path', { class: 'strike', d: `M${x - 5} 2h10l-5 9z` }, `${action.choice}: ${notes[0]?.text}`),
      );
    } else if (violation !== undefined) {
      shapes.push(drawn('line', { class: 'violation', x1: x, x2: x, y1: 8, y2: height }));
      shapes.push(drawn('path', { class: 'violation', d: `M${x - 4} 3l8 8m0-8l-8 8` }, violation.text));
    } else if (meaning !== undefined)
      shapes.push(drawn('circle', { class: 'meaning', cx: x, cy: 7, r: 3 }, meaning.text));
    else if (state.length > 0) {
      const text = state.map(({ name, before, after }) => `${name}: ${before} -> ${after}`).join('\n');
      shapes.push(drawn('rect', { class: 'changed', x: x - 1, y: 3, width: 2, height: 8 }, text));
    }
    return shapes;
  });
}

/** Draws all lanes anew. @returns {number} pixels of a unit */
export function drawLanes() {
  const scroller = byId('lanes-scroll');
  const unit = Math.max(LEAST_UNIT, scroller.clientWidth / allUnits);
  const height = STRIP_HEIGHT + lanes.length * LANE_HEIGHT;
  const picture = drawn('svg', {
    width: Math.floor(allUnits * unit),
    height,
    role: 'img',
    'aria-label': `Contexts of ${story.cpus} CPUs over ${rows.length} rows`,
  });
  for (const lane of lanes.keys())
    picture.append(
      drawn('line', { class: 'lane', x1: 0, x2: allUnits * unit, y1: middleOf(lane), y2: middleOf(lane) }),
    );
  picture.append(...drawStretches(unit), ...drawMarks(unit, height));
  picture.append(drawn('line', { id: 'cursor', class: 'cursor', x1: 0, x2: 0, y1: 0, y2: height }));
  scroller.replaceChildren(picture);
  const labels = lanes.map(({ cpu, kind, label }, index) => {
    const isFirst = index === 0 || lanes[index - 1]?.cpu !== cpu;
    const cpuName = story.cpus > 1 && isFirst ? [element('span', { class: 'cpu' }, `CPU ${cpu}`)] : [];
    return element('div', { class: `label ${kind}` }, ...cpuName, element('span', {}, label));
  });
  byId('lane-labels').replaceChildren(...labels);
  return unit;
}
