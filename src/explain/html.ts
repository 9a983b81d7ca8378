/** A story as one HTML page that needs nothing else: no network, no other file. Its scripts and styles lie in `page/`. */
import { outlineOf } from './outline.js';
import type { Story } from './story.js';

/** What goes into the page as it is. */
export interface PageAssets {
  readonly style: string;
  /** Modules, each behind those that it imports. */
  readonly scripts: readonly string[];
}

/** Names of the files in `page/`. */
export const PAGE_FILES = { style: 'page.css', scripts: ['model.js', 'lanes.js', 'page.js'] } as const;

/** Nothing may be loaded, and nothing sent. */
const POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:";

const KEYS: readonly (readonly [keys: readonly string[], text: string])[] = [
  [['↓', '→', 'j'], 'next line'],
  [['↑', '←', 'k'], 'previous line'],
  [['n', ']'], 'next event or change of state'],
  [['p', '['], 'previous event or change of state'],
  [['Home', 'End'], 'first line, last line'],
  [['Enter', 'Space'], 'open or close a fold'],
  [['?'], 'this help'],
];

const ESCAPES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };
const escaped = (text: string): string => text.replace(/[&<>"]/g, (letter) => ESCAPES[letter]!);

/** The page's text. */
export function storyPage(story: Story, { style, scripts }: PageAssets): string {
  const data = JSON.stringify({ story, rows: outlineOf(story) }).replaceAll('<', '\\u003c');
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="${POLICY}">
<link rel="icon" href="data:,">
<title>${escaped(titleOf(story))}</title>
<style>
${style}</style>
</head>
<body>
<header>
<h1>${escaped(story.guest)}</h1>
${broken(story)}<details><summary>Schedule</summary><code>${escaped(story.schedule)}</code></details>
</header>
<section id="lanes" aria-label="Lanes"><div id="lane-labels"></div><div id="lanes-scroll"></div></section>
<main>
<ol id="listing" role="listbox" tabindex="0" aria-label="Steps"></ol>
<aside id="state" aria-live="polite" aria-label="State at the selected step"></aside>
</main>
<footer>
<button type="button" data-action="previous-event" aria-label="previous event">« event</button>
<button type="button" data-action="previous" aria-label="previous line">‹ step</button>
<button type="button" data-action="next" aria-label="next line">step ›</button>
<button type="button" data-action="next-event" aria-label="next event">event »</button>
<button type="button" data-action="help">Keys <kbd>?</kbd></button>
<span class="end">${escaped(endOf(story))}</span>
</footer>
<dialog id="help" aria-label="Keys">
<dl>${KEYS.map(([keys, text]) => `<dt>${keys.map((key) => `<kbd>${escaped(key)}</kbd>`).join(' ')}</dt><dd>${text}</dd>`).join('')}</dl>
<p>Above the lanes: ▼ a choice of the schedule, ● a request, its answer or a callback, ▮ a change of state, ✕ a rule broken.</p>
<form method="dialog"><button>Close</button></form>
</dialog>
<script type="application/json" id="story">${data}</script>
<script type="module">
${joined(scripts)}</script>
</body>
</html>
`;
}

/** Modules as one: what one exports the next one finds in the same scope. */
const joined = (modules: readonly string[]): string =>
  modules.map((text) => text.replace(/^import [^;]*;\n/gm, '').replace(/^export /gm, '')).join('\n');

const titleOf = ({ broken: rules, guest }: Story): string => [...rules.map(({ id }) => id), guest].join(', ');

function endOf({ end, differs }: Story): string {
  return differs === undefined ? `The end: ${end}.` : `Not the run of the schedule: ${differs}.`;
}

/** What has been broken; each leads to the step at which it was found. */
function broken({ broken: rules }: Story): string {
  if (rules.length === 0) return '';
  const items = rules.map(({ id, sentence, step }) => {
    const text = `<b>${escaped(id)}</b> ${escaped(sentence)}`;
    return step === undefined
      ? `<div>${text}</div>`
      : `<button type="button" data-step="${step}">${text}</button>`;
  });
  return `<div class="broken">${items.join('\n')}</div>\n`;
}
