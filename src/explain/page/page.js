// The listing, the state beside it, and stepping through both.
import { drawLanes, offsets, positionOf } from './lanes.js';
import { byId, contextAt, element, fieldsAt, isEvent, pathOf, rows, stepAt, story } from './model.js';

/** @typedef {import('../story.js').Story} Story */
/** @typedef {import('../story.js').Step} Step */
/** @typedef {import('../outline.js').Row} Row */
/** @typedef {import('./model.js').FieldNow} FieldNow */

/** A line of the listing that can be selected. @typedef {{ line: HTMLElement, row: number, step: number, isFold: boolean }} Line */

/** @type {Line[]} */
let lines = [];
let selected = 0;
let unit = 1;

/**
 * What is entered before a step.
 * @param {number[]} before where its CPU was last @param {number[]} path where it is now
 */
function headings(before, path) {
  const made = [];
  let depth = 0;
  while (depth < path.length && path[depth] === before[depth]) depth++;
  const isBack = depth === path.length && path.length < before.length;
  for (let at = isBack ? depth - 1 : depth; at < path.length; at++) {
    const { kind, label } = contextAt(/** @type {number} */ (path[at]));
    made.push(heading(kind, path.slice(0, at), isBack ? `back in ${label}` : label));
  }
  return made;
}

/** Another CPU goes on from where it was last. @param {number} cpu @param {number[]} path */
function cpuHeading(cpu, path) {
  const names = path.map((context) => contextAt(context).label).join(' › ');
  return heading('cpu', [], names === '' ? `CPU ${cpu}` : `CPU ${cpu}, ${names}`);
}

/** @param {string} kind @param {number[]} path @param {string} text */
const heading = (kind, path, text) =>
  element(
    'li',
    { class: `heading ${kind}`, role: 'presentation' },
    element('span', { class: 'at' }),
    bars(path),
    element('span', { class: 'name' }, text),
  );

/** A bar for each context that a line is in. @param {number[]} path */
function bars(path) {
  const made = path.map((context) => element('i', { class: contextAt(context).kind }));
  return element('span', { class: 'bars', 'aria-hidden': 'true' }, ...made);
}

/** What a line of the listing says. @param {Step} step */
function contents({ action, notes, state, task }) {
  const below = [
    ...notes
      .filter(({ kind }) => kind !== 'choice')
      .map(({ kind, text }) => element('div', { class: kind }, text)),
    ...state.map(({ name, before, after, task: whose }) => {
      const of = whose === task ? '' : ` of ${story.tasks[whose]?.name}`;
      return element('div', { class: 'change' }, `${name}${of}: `, element('s', {}, before), ' → ', after);
    }),
  ];
  if (action.kind === 'choice')
    return [
      element(
        'span',
        { class: 'whole' },
        element('b', { class: 'choice' }, `${action.choice} `),
        notes[0]?.text ?? '',
      ),
      ...below,
    ];
  if (action.kind === 'entry') return [element('span', { class: 'quiet' }, 'delivered'), ...below];
  if (action.kind === 'skip')
    return [element('span', { class: 'quiet' }, `… ${action.count} instructions, not told`), ...below];
  const { where, text, source } = /** @type {Story['code'][number]} */ (story.code[action.code]);
  return [
    element('span', { class: 'where' }, where),
    element('span', { class: 'text' }, text),
    element('span', { class: 'source', title: source ?? '' }, source?.split('/').at(-1) ?? ''),
    ...below,
  ];
}

/** @param {number} row @param {number} step @param {string} kind @param {(Node | string)[]} body @returns {Line} */
function lineOf(row, step, kind, body) {
  const { at, context, action } = stepAt(step);
  const line = element(
    'li',
    { class: `line ${kind}`, role: 'option', 'aria-selected': 'false', id: `${kind}-${step}` },
    element('span', { class: 'at' }, String(at)),
    bars(action.kind === 'skip' ? [] : pathOf(context)),
    element('span', { class: 'body' }, ...body),
  );
  return { line, row, step, isFold: kind === 'fold' };
}

/** @param {number} row @returns {Line} */
function lineOfRow(row) {
  const shown = /** @type {Row} */ (rows[row]);
  if (shown.kind === 'step') return lineOf(row, shown.step, 'step', contents(stepAt(shown.step)));
  const names = shown.routines.join(', ');
  const made = lineOf(row, shown.from, 'fold', [
    element('span', { class: 'quiet' }, `${shown.to - shown.from} instructions`),
    element('span', { class: 'routines', title: names }, names),
  ]);
  made.line.setAttribute('aria-expanded', 'false');
  return made;
}

function fillListing() {
  lines = rows.map((_, row) => lineOfRow(row));
  /** Where each CPU was last. @type {Map<number, number[]>} */
  const paths = new Map();
  /** @type {number | undefined} */
  let last;
  const all = lines.flatMap(({ line, step }) => {
    const { context, cpu, action } = stepAt(step);
    if (action.kind === 'skip') {
      paths.clear();
      last = undefined;
      return [line];
    }
    const before = paths.get(cpu) ?? [];
    const path = pathOf(context);
    const entered = headings(before, path);
    const common = path.filter((each, depth) => each === before[depth]);
    if (cpu !== last && story.cpus > 1) entered.unshift(cpuHeading(cpu, common));
    paths.set(cpu, path);
    last = cpu;
    return [...entered, line];
  });
  byId('listing').replaceChildren(...all);
}

/** Shows the steps of a fold, or hides them again. @param {number} at */
function toggleFold(at) {
  const fold = lines[at];
  const row = fold === undefined ? undefined : rows[fold.row];
  if (fold === undefined || !fold.isFold || row?.kind !== 'fold') return;
  const isOpen = fold.line.getAttribute('aria-expanded') === 'true';
  fold.line.setAttribute('aria-expanded', String(!isOpen));
  if (isOpen) {
    const inner = lines.splice(at + 1, row.to - row.from);
    for (const { line } of inner) line.remove();
    return;
  }
  const inner = Array.from({ length: row.to - row.from }, (_, index) => {
    const step = row.from + index;
    return lineOf(fold.row, step, 'inner', contents(stepAt(step)));
  });
  lines.splice(at + 1, 0, ...inner);
  fold.line.after(...inner.map(({ line }) => line));
}

/** @param {string} title @param {HTMLElement[]} content */
const part = (title, ...content) => [element('h3', {}, title), ...content];

/** @param {FieldNow[]} fields */
const table = (fields) =>
  element(
    'table',
    {},
    ...fields.map(({ name, value, before }) =>
      element(
        'tr',
        before === undefined ? {} : { class: 'changed' },
        element('th', { scope: 'row' }, name),
        element('td', {}, ...(before === undefined ? [] : [element('s', {}, before), ' ']), value),
      ),
    ),
  );

/** @param {Step['notes'][number]} note */
const isNoViolation = ({ kind }) => kind !== 'violation';

/** The rules that have been broken by then. @param {number} step */
const brokenUpTo = (step) =>
  story.broken
    .filter((rule) => rule.step === undefined || rule.step <= step)
    .map(({ id, sentence }) => element('p', { class: 'verdict' }, element('b', {}, id), ` ${sentence}`));

/** What stands beside the listing. @param {Line} line */
function stateOf({ step: index, isFold, row }) {
  const step = stepAt(index);
  const shown = rows[row];
  const { action, registers, notes, task, cpu, context, at } = step;
  const path = action.kind === 'skip' ? [] : pathOf(context);
  const crumbs = path.flatMap((each, depth) => {
    const { kind, label } = contextAt(each);
    return [...(depth === 0 ? [] : [' › ']), element('span', { class: kind }, label)];
  });
  const code = action.kind === 'instruction' && !isFold ? story.code[action.code] : undefined;
  const last = isFold && shown?.kind === 'fold' ? shown.to - 1 : index;
  const state = task === undefined ? undefined : fieldsAt(task, last);
  const title = isFold ? `${at} to ${stepAt(last).at}` : String(at);
  return [
    element('h2', {}, title, element('span', { class: 'cpu' }, ` CPU ${cpu}`)),
    element('p', { class: 'crumbs' }, ...crumbs),
    ...(code === undefined
      ? []
      : [
          element('p', { class: 'code' }, code.text),
          element('p', { class: 'quiet' }, [code.where, code.source].filter(Boolean).join(', ')),
        ]),
    ...(isFold
      ? []
      : notes.filter(isNoViolation).map(({ kind, text }) => element('p', { class: `note ${kind}` }, text))),
    ...brokenUpTo(last),
    ...(state === undefined
      ? [element('p', { class: 'quiet' }, 'Nothing is known about the state of this image.')]
      : part(state.name, table(state.fields))),
    ...(isFold || registers.length === 0
      ? []
      : part(
          'Registers',
          table(registers.map(({ name, before, after }) => ({ name, value: after, before }))),
        )),
  ];
}

/** @param {number} at @param {ScrollLogicalPosition} [block] where in the listing it comes to stand */
function select(at, block = 'nearest') {
  const next = lines[Math.min(Math.max(at, 0), lines.length - 1)];
  if (next === undefined) return;
  lines[selected]?.line.setAttribute('aria-selected', 'false');
  selected = lines.indexOf(next);
  next.line.setAttribute('aria-selected', 'true');
  byId('listing').setAttribute('aria-activedescendant', next.line.id);
  next.line.scrollIntoView({ block });
  byId('state').replaceChildren(...stateOf(next));
  showCursor();
}

function showCursor() {
  const line = lines[selected];
  if (line === undefined) return;
  const x = positionOf(line.row, line.step) * unit;
  for (const end of ['x1', 'x2']) byId('cursor').setAttribute(end, String(x));
  const scroller = byId('lanes-scroll');
  const margin = scroller.clientWidth / 4;
  if (x < scroller.scrollLeft + margin || x > scroller.scrollLeft + scroller.clientWidth - margin)
    scroller.scrollLeft = x - scroller.clientWidth / 2;
}

/** The next line that tells more than its instruction. @param {1 | -1} direction */
function selectEvent(direction) {
  for (let at = selected + direction; at >= 0 && at < lines.length; at += direction) {
    const line = /** @type {Line} */ (lines[at]);
    if (!line.isFold && isEvent(stepAt(line.step))) return select(at);
  }
}

/** The line of a step, which may be in a fold. @param {number} step */
function selectStep(step) {
  const at = lines.findLastIndex((line) => line.step <= step);
  if (
    lines[at]?.isFold &&
    lines[at].line.getAttribute('aria-expanded') === 'false' &&
    lines[at].step < step
  ) {
    toggleFold(at);
    selectStep(step);
  } else select(at);
}

/** @type {Readonly<Record<string, () => void>>} */
const ACTIONS = {
  next: () => select(selected + 1),
  previous: () => select(selected - 1),
  'next-event': () => selectEvent(1),
  'previous-event': () => selectEvent(-1),
  first: () => select(0),
  last: () => select(lines.length - 1),
  fold: () => toggleFold(selected),
  help: () => /** @type {HTMLDialogElement} */ (byId('help')).showModal(),
};

/** @type {Readonly<Record<string, string>>} */
const KEYS = {
  ArrowDown: 'next',
  ArrowRight: 'next',
  j: 'next',
  ArrowUp: 'previous',
  ArrowLeft: 'previous',
  k: 'previous',
  n: 'next-event',
  ']': 'next-event',
  p: 'previous-event',
  '[': 'previous-event',
  Home: 'first',
  End: 'last',
  Enter: 'fold',
  ' ': 'fold',
  '?': 'help',
};

document.addEventListener('keydown', (event) => {
  const action = KEYS[event.key];
  const isHelpOpen = /** @type {HTMLDialogElement} */ (byId('help')).open;
  if (action === undefined || isHelpOpen || event.ctrlKey || event.metaKey || event.altKey) return;
  const isOnControl = event.target instanceof Element && event.target.closest('button, summary') !== null;
  if (action === 'fold' && isOnControl) return; // there Enter and Space press it
  event.preventDefault();
  ACTIONS[action]?.();
});

document.addEventListener('click', (event) => {
  if (!(event.target instanceof Element)) return;
  const control = event.target.closest('[data-action], [data-step]');
  if (control instanceof HTMLElement) {
    const { action, step } = control.dataset;
    if (action !== undefined) ACTIONS[action]?.();
    if (step !== undefined) selectStep(Number(step));
    return;
  }
  const line = event.target.closest('.line');
  const at = lines.findIndex((each) => each.line === line);
  if (at < 0) return;
  if (at === selected || lines[at]?.isFold) toggleFold(at);
  select(at);
});

byId('lanes-scroll').addEventListener('click', (event) => {
  const x =
    event.clientX -
    /** @type {Element} */ (byId('lanes-scroll').firstElementChild).getBoundingClientRect().left;
  const row = offsets.findLastIndex((offset) => offset * unit <= x);
  select(lines.findIndex((line) => line.row === Math.min(row, rows.length - 1)));
});

new ResizeObserver(() => {
  unit = drawLanes();
  showCursor();
}).observe(byId('lanes-scroll'));

fillListing();
unit = drawLanes();
select(
  Math.max(
    lines.findIndex(({ step }) => stepAt(step).action.kind === 'choice'),
    0,
  ),
  'center',
);
byId('listing').focus({ preventScroll: true });
