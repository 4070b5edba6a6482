/**
 * Debian's chromium, driven by playwright-core. A page collects what the console says and what the policy of the server stopped: a test
 * ends with `expect(page.problems).toEqual([])`.
 *
 *     const browser = await openBrowser();                                  // in beforeAll; browser.close() in afterAll
 *     const page = await browser.open(mirror.url, { width: 390, colours: 'dark' });
 */
import { readFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { type Browser, chromium, type Page } from 'playwright-core';
import { onTestFinished } from 'vitest';

export interface PageOptions {
  /** Of the window. Default: 1280. */
  readonly width?: number;
  /** What the system says. Default: light. */
  readonly colours?: 'light' | 'dark';
}

export interface OpenPage {
  readonly page: Page;
  /** Errors and warnings of the console, and errors that no code caught. */
  readonly problems: string[];
}

export interface TestBrowser {
  /** A fresh profile for the running test: no cookie, nothing kept. `url`: of a server; paths are below it. */
  open(url: string, options?: PageOptions): Promise<OpenPage>;
  close(): Promise<void>;
}

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

export async function openBrowser(): Promise<TestBrowser> {
  const browser = await chromium.launch({
    executablePath: '/usr/bin/chromium',
    // Root has no sandbox, and a machine for tests little shared memory.
    args: ['--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu'],
  });
  return { open: (url, options) => openPage(browser, url, options), close: () => browser.close() };
}

async function openPage(browser: Browser, url: string, options: PageOptions = {}): Promise<OpenPage> {
  const { width = 1280, colours = 'light' } = options;
  const context = await browser.newContext({
    baseURL: url,
    viewport: { width, height: width < 600 ? 844 : 900 },
    colorScheme: colours,
    reducedMotion: 'reduce',
  });
  onTestFinished(() => context.close());
  const page = await context.newPage();
  page.setDefaultTimeout(20_000);
  const problems: string[] = [];
  page.on('console', message => {
    if (['error', 'warning'].includes(message.type())) problems.push(message.text());
  });
  page.on('pageerror', error => problems.push(String(error)));
  return { page, problems };
}

/** What axe-core finds serious or critical: `color-contrast: <a …>`. */
export async function findBarriers(page: Page): Promise<string[]> {
  await page.evaluate(`${axe};0`);
  return await page.evaluate<string[]>(`axe.run().then(({ violations }) => violations
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .flatMap(({ id, nodes }) => nodes.map(({ html }) => id + ': ' + html.slice(0, 200))))`);
}

/** By how many pixels the content is wider than the window. */
export async function widthOverflow(page: Page): Promise<number> {
  return await page.evaluate<number>('document.documentElement.scrollWidth - innerWidth');
}

/** Into the folder that CISTERN_SCREENSHOTS names; without it nothing is kept. */
export async function keepScreenshot(page: Page, name: string): Promise<void> {
  const folder = process.env['CISTERN_SCREENSHOTS'];
  if (folder === undefined) return;
  await mkdir(folder, { recursive: true });
  await page.screenshot({ path: join(folder, `${name}.png`), fullPage: true });
}
