/** Each action from its button: the question with what would go, the confirmation, the end, and what the mirror holds afterwards. */
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { findBarriers, keepScreenshot, openBrowser, type TestBrowser } from '../support/browser.ts';
import { get } from '../support/client.ts';
import { blobLine } from '../support/request-log.ts';
import { requires } from '../support/requires.ts';
import { basic } from '../support/users.ts';
import {
  alpine,
  fill,
  first,
  grafana,
  lacking,
  logIn,
  type PageRig,
  second,
  startPageRig,
} from './page-rig.ts';

requires('chromium')('actions', () => {
  let browser: TestBrowser;

  beforeAll(async () => {
    browser = await openBrowser();
  });

  afterAll(async () => {
    await browser.close();
  });

  async function start(path: string): Promise<{ rig: PageRig; page: Page; problems: readonly string[] }> {
    const rig = await startPageRig();
    await fill(rig);
    const { page, problems } = await browser.open(rig.mirror.url);
    await logIn(page, 'alice');
    await page.getByText('Log out').waitFor();
    await page.goto(path);
    return { rig, page, problems };
  }

  test('pin and unpin', async () => {
    const { page, problems } = await start('/ui/image?name=docker.io/grafana/grafana:11.2.0');
    await act(page, 'Pin');
    await page.locator('.facts').getByText('pinned').waitFor();
    await act(page, 'Unpin');
    await page.getByRole('button', { name: /^Pin / }).waitFor();
    expect(problems).toEqual([]);
  });

  test('evict says first what would be freed, and Cancel changes nothing', async () => {
    const { rig, page, problems } = await start('/ui/image?name=docker.io/grafana/grafana:11.2.0');
    await page.getByRole('button', { name: /^Evict / }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByText('Would be freed').waitFor();
    await dialog
      .getByText(/\d+ KiB/)
      .first()
      .waitFor();
    await dialog.getByText('11.2.0', { exact: true }).waitFor();
    await keepScreenshot(page, 'evict');
    expect(await findBarriers(page)).toEqual([]);
    await dialog.getByRole('button', { name: 'Cancel' }).click();
    expect(await page.evaluate<string>('document.activeElement.textContent')).toBe('Evict');
    expect(await isHeld(rig, 'grafana/grafana', grafana.digest)).toBe(true);
    await act(page, 'Evict');
    await page.getByText('It is not held here').waitFor();
    expect(await isHeld(rig, 'grafana/grafana', grafana.digest)).toBe(false);
    expect(problems.filter(text => !text.includes('404'))).toEqual([]);
  });

  test('warm fetches what an image lacks, from the list of what would fail offline', async () => {
    const { rig, page, problems } = await start('/ui/offline');
    await page.getByRole('link', { name: 'lacking:1.0' }).waitFor();
    rig.upstream.log.clear();
    await act(page, 'Warm', 'Warm lacking:1.0');
    await page.getByRole('link', { name: 'lacking:1.0' }).waitFor({ state: 'hidden' });
    const layer = lacking.layers[0]?.descriptor.digest ?? '';
    expect(rig.upstream.lines().filter(line => line === blobLine(layer))).toHaveLength(1);
    expect(problems).toEqual([]);
  });

  test('delete says which tags go; restore brings the one before back', async () => {
    const { rig, page } = await start('/ui/image?name=team/app:1.0');
    await page.getByText('Signature', { exact: true }).waitFor();
    await page
      .getByRole('button', { name: /^Restore / })
      .first()
      .click();
    await page.getByRole('dialog').getByRole('button', { name: 'Restore', exact: true }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Close' }).click();
    await page.locator('.facts').getByText(first.digest.slice(0, 19)).waitFor();
    await page.locator('.moves').getByText('restore · by alice', { exact: true }).waitFor();
    expect(await digestOfTag(rig, 'team/app', '1.0')).toBe(first.digest);
    await page.getByRole('button', { name: /^Delete / }).click();
    await page.getByRole('dialog').getByText('Would be freed').waitFor();
    await page.getByRole('dialog').getByText('1.0', { exact: true }).waitFor();
    await keepScreenshot(page, 'delete');
    await page.getByRole('dialog').getByRole('button', { name: 'Delete', exact: true }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Close' }).click();
    await page.getByText('It is not held here').waitFor();
    expect(await digestOfTag(rig, 'team/app', '1.0')).toBe(undefined);
    expect(second.digest).not.toBe(first.digest);
  });

  test('promote gives a mirrored image a hosted name', async () => {
    const { rig, page, problems } = await start('/ui/image?name=docker.io/grafana/grafana:11.2.0');
    await page.getByRole('button', { name: /^Promote / }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByLabel(/^Hosted name/).fill('team/grafana:approved');
    expect(await findBarriers(page)).toEqual([]);
    await dialog.getByRole('button', { name: 'Promote', exact: true }).click();
    await dialog.getByRole('button', { name: 'Close' }).waitFor();
    await dialog.getByRole('button', { name: 'Close' }).click();
    await expect.poll(() => digestOfTag(rig, 'team/grafana', 'approved')).toBe(grafana.digest);
    expect(problems).toEqual([]);
  });

  test('collect and scrub, from the overview; both stand among the jobs', async () => {
    const { page, problems } = await start('/ui/');
    await page.getByText('never', { exact: true }).waitFor(); // the last scrub
    await page.getByRole('button', { name: 'Collect', exact: true }).click();
    await page.getByRole('dialog').getByText('Would be freed').waitFor();
    await page.getByRole('dialog').getByRole('button', { name: 'Collect', exact: true }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Close' }).click();
    await page.getByRole('button', { name: 'Scrub', exact: true }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Start a scrub' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Close' }).click();
    await page.getByRole('heading', { name: 'Jobs' }).waitFor();
    await expect.poll(() => page.locator('.transfers .state-good').count()).toBe(2);
    await page.getByText('never', { exact: true }).waitFor({ state: 'hidden' });
    expect(problems).toEqual([]);
  });

  test('an action that the mirror refuses says why', async () => {
    const { rig, page } = await start('/ui/image?name=docker.io/grafana/grafana:11.2.0');
    await act(page, 'Pin');
    await page.getByRole('button', { name: /^Unpin / }).waitFor();
    await page.getByRole('button', { name: /^Evict / }).click();
    await page
      .getByRole('dialog')
      .getByText(/pinned/)
      .first()
      .waitFor();
    expect(await isHeld(rig, 'grafana/grafana', grafana.digest)).toBe(true);
    expect(alpine.digest).not.toBe(grafana.digest);
  });
});

/** `button`: its name, where there are several of the action. */
async function act(
  page: Page,
  action: string,
  button: string | RegExp = new RegExp(`^${action} `),
): Promise<void> {
  await page.getByRole('button', { name: button }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByRole('button', { name: action, exact: true }).click();
  await dialog.getByRole('button', { name: 'Close' }).click();
  await dialog.waitFor({ state: 'hidden' });
}

async function isHeld({ mirror }: PageRig, repository: string, digest: string): Promise<boolean> {
  const headers = { Authorization: basic('alice') };
  const { status, body } = await get(mirror.url, `/api/v1/images?repository=docker.io/${repository}`, {
    headers,
  });
  expect(status).toBe(200);
  return body.toString().includes(digest);
}

async function digestOfTag(
  { mirror }: PageRig,
  repository: string,
  tag: string,
): Promise<string | undefined> {
  const headers = { Authorization: basic('alice') };
  const answer = await get(mirror.url, `/v2/${repository}/manifests/${tag}`, { headers });
  return answer.status === 200 ? answer.headers.get('docker-content-digest') : undefined;
}
