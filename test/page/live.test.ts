/** Transfers as they run: the page follows a download and a push, and closes its stream when nothing is shown that follows it. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { findBarriers, keepScreenshot, openBrowser, type TestBrowser } from '../support/browser.ts';
import { request } from '../support/client.ts';
import { patternBlob } from '../support/content.ts';
import { requires } from '../support/requires.ts';
import { open, startUpload } from '../support/upload-client.ts';
import { basic } from '../support/users.ts';
import { logIn, startPageRig } from './page-rig.ts';

const size = 8 * 2 ** 20;
const big = patternBlob('big', size);

requires('chromium')('the overview', () => {
  let browser: TestBrowser;

  beforeAll(async () => {
    browser = await openBrowser();
  });

  afterAll(async () => {
    await browser.close();
  });

  test('shows a download with its followers and how far it is, and a push, while they run', async () => {
    const { mirror, upstream } = await startPageRig();
    upstream.putBlob('library/big', big.digest, big);
    const quarter = upstream.holdAfter({ digest: big.digest }, size / 4);
    const { page, problems } = await browser.open(mirror.url);
    await logIn(page, 'alice');
    await page.getByText('Nothing is being downloaded or pushed.').waitFor();
    await page.getByText('Live', { exact: true }).waitFor();

    const path = `/v2/library/big/blobs/${big.digest}`;
    const clients = [request(mirror.url, { path, keep: false }), request(mirror.url, { path, keep: false })];
    await quarter.reached;
    await page.getByText('2.0 MiB of 8.0 MiB').waitFor();
    await page.getByText('2 followers').waitFor();
    await page.getByText('25.0 %').waitFor();
    expect(await page.getByRole('progressbar', { name: 'Download of big' }).count()).toBe(1);

    const headers = { Authorization: basic('alice') };
    const { location } = await startUpload(mirror.url, 'team/app', { headers });
    const patch = open(mirror.url, 'PATCH', location, { ...headers, 'Content-Length': String(size) });
    patch.write(big.slice(0, size / 2));
    await page.getByRole('progressbar', { name: 'Upload to team/app' }).waitFor();
    await page.getByText('by alice').waitFor();
    await keepScreenshot(page, 'transfers');
    expect(await findBarriers(page)).toEqual([]);

    quarter.release();
    for (const { done } of clients) expect((await done).sha256).toBe(big.digest);
    patch.write(big.slice(size / 2, size));
    expect((await patch.done).status).toBe(202);
    await page.getByRole('progressbar', { name: 'Download of big' }).waitFor({ state: 'hidden' });
    expect(problems).toEqual([]);
  });

  test('shows what the schedule of warm has fetched, and when it runs next', async () => {
    const { mirror } = await startPageRig({ warm: [{ images: ['grafana/grafana:11.2.0'], every: '6h' }] });
    const { page, problems } = await browser.open(mirror.url);
    await expect.poll(() => mirror.metric('cistern_store_blobs')).toBeGreaterThan(0);
    await logIn(page, 'alice');
    await page.getByRole('heading', { name: 'Warmed' }).waitFor();
    await page.getByText('warm[0]').waitFor();
    await page.getByText(/^1 fetched, \d+/).waitFor();
    await page.getByText(/^next in 5 h/).waitFor();
    expect(await findBarriers(page)).toEqual([]);
    expect(problems).toEqual([]);
  });

  test('opens one stream of events for all that follows it, and none on other views', async () => {
    const { mirror } = await startPageRig();
    const { page } = await browser.open(mirror.url);
    const streams: string[] = [];
    page.on('request', asked => asked.resourceType() === 'eventsource' && streams.push('opened'));
    page.on('requestfailed', asked => asked.resourceType() === 'eventsource' && streams.push('closed'));
    await logIn(page, 'alice');
    await page.getByText('Live', { exact: true }).waitFor();
    expect(streams).toEqual(['opened']);
    await page.getByRole('link', { name: 'Images', exact: true }).click();
    await page.getByText('Nothing is held yet.').waitFor();
    await expect.poll(() => streams).toEqual(['opened', 'closed']);
    await page.getByRole('link', { name: 'Overview' }).click();
    await page.getByText('Live', { exact: true }).waitFor();
    expect(streams).toEqual(['opened', 'closed', 'opened']);
  });
});
