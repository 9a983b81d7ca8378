/** The page in a real browser, Debian's Chromium: it draws its lanes, and can be stepped through by keyboard and mouse. */
import { spawnSync } from 'node:child_process';
import { pathToFileURL } from 'node:url';
import { type Browser, chromium, type Locator, type Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { storyPage } from '../../src/explain/html.js';
import { explain, pageOf } from '../../src/lab/explain.js';
import { Scratch } from '../system/run.js';
import { raceL } from './race-l.js';

const CHROMIUM = '/usr/bin/chromium';
const hasChromium = spawnSync(CHROMIUM, ['--version']).status === 0;
const why = hasChromium ? '' : ` (skipped: no ${CHROMIUM})`;

test('a story that looks like HTML stays text', async () => {
  const story = { ...(await explain(await raceL())), guest: '</script><img src=x>' };
  const html = storyPage(story, { style: '', scripts: [] });
  expect(html.match(/<\/script>/g)).toHaveLength(2);
  expect(html).not.toContain('<img');
});

describe.skipIf(!hasChromium)(`the page in a browser${why}`, () => {
  const scratch = new Scratch();
  const urls: Record<string, string> = {};
  let browser: Browser;
  let page: Page;
  /** What the browser has complained of. */
  let complaints: string[];

  beforeAll(async () => {
    for (const cpus of [1, 2]) {
      const file = scratch.write(`${cpus}.html`, pageOf(await explain(await raceL({ cpus }))));
      urls[cpus] = pathToFileURL(file).href;
    }
    browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox'] });
  });
  afterAll(async () => {
    await browser?.close();
    scratch.remove();
  });

  beforeEach(async () => {
    complaints = [];
    page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
    page.on('console', (message) => complaints.push(message.text()));
    page.on('pageerror', ({ message }) => complaints.push(message));
    page.on('request', (request) => {
      if (!/^(file|data):/.test(request.url())) complaints.push(`asks for ${request.url()}`);
    });
    await page.goto(urls[1]!);
  });
  afterEach(async () => {
    await page.close();
    expect(complaints).toEqual([]);
  });

  /** The text that a reader sees. */
  const seen = async (part: Locator): Promise<string> => (await part.allInnerTexts()).join('\n');
  const selected = (): Promise<string> => seen(page.locator('[aria-selected="true"]'));
  const state = (): Promise<string> => seen(page.locator('#state'));
  const field = (name: string): Promise<string> =>
    seen(page.locator('#state tr', { has: page.locator('th', { hasText: new RegExp(`^${name}$`) }) }));
  const press = async (...keys: readonly string[]): Promise<void> => {
    for (const key of keys) await page.keyboard.press(key);
  };
  const cursor = async (): Promise<number> => Number(await page.locator('#cursor').getAttribute('x1'));

  test('draws a lane for each kind of context, and a mark for the choice and the violation', async () => {
    expect(await page.locator('#lane-labels .label').allInnerTexts()).toEqual([
      'user',
      'system call',
      'IRQ',
      'NMI',
    ]);
    for (const kind of ['user', 'syscall', 'interrupt', 'nmi'])
      expect(await page.locator(`svg .run.${kind}`).count()).toBeGreaterThan(0);
    expect(await page.locator('svg path.strike').count()).toBe(1);
    expect(await page.locator('svg path.violation').count()).toBe(1);
  });

  test('begins at the choice, with the state as it is there', async () => {
    expect(await selected()).toMatch(/nmi:0\s+an NMI is raised at CPU 0/);
    expect(await field('mask')).toBe('mask\t0');
    expect(await field('id')).toBe('id\t300000001 (CPU 0, 3)');
  });

  test('keys step by line and by event, and the state follows', async () => {
    const begin = await cursor();
    await press('ArrowUp');
    expect(await selected()).toContain('lock cmpxchgq %rdx,0x288(%rcx)');
    expect(await field('mask')).toBe('mask\tUSED|ftrace 0');
    expect(await seen(page.locator('#state tr.changed').first())).toBe('mask\tUSED|ftrace 0');
    expect(await cursor()).toBeLessThan(begin);
    await press('j', 'j');
    expect(await selected()).toMatch(/delivered/);
    expect(await seen(page.locator('#state .crumbs'))).toBe('user › system call gettid › NMI');
    await press('n');
    expect(await selected()).toContain('perf asks: unwind_deferred_request');
    await press(']');
    expect(await field('mask')).toBe('mask\t0 PENDING|perf');
    await press('p', '[', 'k');
    expect(await selected()).toMatch(/nmi:0/);
  });

  test('End shows the rule that was broken, Home shows none', async () => {
    await press('End');
    expect(await state()).toMatch(/cookie-not-zero expected .*, found 0\./);
    expect(await field('mask')).toBe('mask\t0');
    await press('Home');
    expect(await state()).not.toContain('cookie-not-zero');
  });

  test('a fold opens and closes, and its steps can be selected', async () => {
    await press('Home', 'j', 'Enter', 'j', 'j');
    expect(await selected()).toMatch(/^17836\s+main\+0x/);
    expect(await page.locator('.line.inner').count()).toBe(3);
    await press('k', 'k', ' ');
    expect(await page.locator('.line.inner').count()).toBe(0);
  });

  test('the mouse selects lines, places in the lanes, and the step of the violation', async () => {
    await page.locator('.broken button').click();
    expect(await selected()).toContain('perf is called with cookie 0, 2 frames');
    await page.locator('.line', { hasText: 'perf asks' }).click();
    expect(await selected()).toContain('perf asks');
    await page.locator('svg .run.user').first().click();
    expect(await selected()).toMatch(/^17835/);
    await page.getByRole('button', { name: 'next event' }).click();
    expect(await selected()).toContain('ftrace asks');
  });

  test('? tells the keys, and Escape puts them away', async () => {
    await press('?');
    expect(await seen(page.locator('#help'))).toMatch(/next event or change of state/);
    await press('j', 'Escape');
    expect(await page.locator('#help').isVisible()).toBe(false);
    expect(await selected()).toMatch(/nmi:0/);
  });

  test('is a listbox that says which option is active', async () => {
    const list = page.getByRole('listbox', { name: 'Steps' });
    const active = await list.getAttribute('aria-activedescendant');
    expect(await page.locator(`#${active}`).getAttribute('aria-selected')).toBe('true');
    expect(await list.evaluate((element) => element === element.ownerDocument.activeElement)).toBe(true);
  });

  test.each([320, 420, 800])('nothing sticks out of a window %i pixels wide', async (width) => {
    await page.setViewportSize({ width, height: 800 });
    const wide = await page.locator('html').evaluate(({ scrollWidth }) => scrollWidth);
    expect(wide).toBeLessThanOrEqual(width);
  });

  test('with two CPUs, each has its lanes', async () => {
    await page.goto(urls[2]!);
    expect(await page.locator('#lane-labels .cpu').allInnerTexts()).toEqual(['CPU 0', 'CPU 1']);
    await press('End');
    expect(await state()).toContain('cookie-not-zero');
  });
});
