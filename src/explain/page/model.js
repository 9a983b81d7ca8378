// The story that the page shows, and what follows from it.

/** @typedef {import('../story.js').Story} Story */
/** @typedef {import('../story.js').Step} Step */
/** @typedef {import('../story.js').ContextKind} ContextKind */
/** @typedef {import('../outline.js').Row} Row */
/** @typedef {{ name: string, value: string, before: string | undefined }} FieldNow */

/** @param {string} id */
export const byId = (id) => /** @type {HTMLElement} */ (document.getElementById(id));

/** @type {{ story: Story, rows: Row[] }} */
export const { story, rows } = JSON.parse(byId('story').textContent ?? '');

/** @param {number} index */
export const stepAt = (index) => /** @type {Step} */ (story.steps[index]);
/** @param {number} index */
export const contextAt = (index) => /** @type {Story['contexts'][number]} */ (story.contexts[index]);
/** @param {Row} row */
export const firstOf = (row) => (row.kind === 'step' ? row.step : row.from);

/** The contexts of a step from the outermost to its own. @param {number | undefined} context */
export function pathOf(context) {
  const path = [];
  for (let at = context; at !== undefined; at = contextAt(at).parent) path.unshift(at);
  return path;
}

/** Whether a step tells more than its instruction. @param {Step} step */
export const isEvent = ({ action, state, notes }) =>
  action.kind === 'entry' || action.kind === 'choice' || state.length > 0 || notes.length > 0;

/** The fields of a task behind a step, with what they were before it where it changed them. @param {number} task @param {number} until */
export function fieldsAt(task, until) {
  const { name, fields } = /** @type {Story['tasks'][number]} */ (story.tasks[task]);
  /** @type {Map<string, FieldNow>} */
  const now = new Map(fields.map((field) => [field.name, { ...field, before: undefined }]));
  for (let index = 0; index <= until; index++)
    for (const change of stepAt(index).state) {
      if (change.task !== task) continue;
      const before = index === until ? change.before : undefined;
      now.set(change.name, { name: change.name, value: change.after, before });
    }
  return { name, fields: [...now.values()] };
}

/** An element with its attributes and children. @param {string} tag @param {Record<string, string>} attributes @param {(Node | string)[]} children */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}
