/** Set up: the page shows the files that `cistern client` prints for this very host, and its check asks what clients ask. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runClient } from '../../src/cli/client/client.ts';
import { clientNames } from '../../src/clients/client-setup.ts';
import { keepScreenshot, openBrowser, type TestBrowser } from '../support/browser.ts';
import { get } from '../support/client.ts';
import { startTestMirror } from '../support/mirror.ts';
import { requires } from '../support/requires.ts';
import { startFakeUpstream } from '../support/upstream.ts';
import { fill, logIn, startPageRig } from './page-rig.ts';

interface PrintedSetup {
  readonly files: readonly { readonly path: string; readonly content: string }[];
  readonly then: readonly string[];
  readonly notes: readonly string[];
}

requires('chromium')('the set-up', () => {
  let browser: TestBrowser;

  beforeAll(async () => {
    browser = await openBrowser();
  });

  afterAll(async () => {
    await browser.close();
  });

  test('shows for each client the files, commands and notes of the command line', async () => {
    const upstream = await startFakeUpstream();
    const upstreams = { 'docker.io': { url: upstream.url }, 'ghcr.io': {}, 'r.lan:5000': {} };
    const mirror = await startTestMirror({ config: { upstreams } });
    const { page, problems } = await browser.open(mirror.url);
    for (const client of clientNames) {
      await page.goto(`/ui/setup?client=${client}`);
      await page.locator('.client-steps').waitFor();
      const shown = await page.locator('main').innerText();
      const { files, then, notes } = await print(mirror.file, mirror.url, client);
      for (const { path, content } of files) {
        expect(shown, client).toContain(path);
        expect(shown, client).toContain(content.trimEnd());
      }
      for (const command of then) expect(shown, client).toContain(command);
      for (const note of notes.filter(text => !text.startsWith('Only clients on this machine')))
        expect(shown, client).toContain(note);
    }
    expect(problems).toEqual([]);
  });

  test('checks that the registry answers here, and that an image can be pulled', async () => {
    const rig = await startPageRig();
    await fill(rig);
    const { page, problems } = await browser.open(rig.mirror.url);
    await page.goto('/ui/setup');
    await page.getByRole('button', { name: 'Does it work from here?' }).click();
    await page.getByText('The registry API answers').waitFor();
    await page.getByText('docker.io/grafana/grafana:11.2.0 can be pulled').waitFor();
    await keepScreenshot(page, 'check');
    // The browser itself says what clients with a login see first.
    expect(problems.filter(text => !text.includes('401'))).toEqual([]);
  });

  test('names what is wrong when the registry does not answer', async () => {
    const rig = await startPageRig();
    const { page } = await browser.open(rig.mirror.url);
    await page.goto('/ui/setup');
    await page.getByRole('button', { name: 'Does it work from here?' }).waitFor();
    await rig.mirror.close();
    await page.getByRole('button', { name: 'Does it work from here?' }).click();
    await page.getByText('The registry API does not answer').waitFor();
    expect(await page.getByText('can be pulled').count()).toBe(0);
  });

  test('shows the script before it is run: the very text that curl gets', async () => {
    const rig = await startPageRig();
    const { page } = await browser.open(rig.mirror.url);
    await logIn(page, 'alice');
    await page.goto('/ui/setup');
    await page.getByText('Read the script first').click();
    const served = (await get(rig.mirror.url, '/setup/docker.sh')).body.toString();
    expect(await page.locator('.script details pre').innerText()).toBe(served.trimEnd());
    expect(await page.locator('.script').innerText()).toContain(
      `curl -fsS ${rig.mirror.url}/setup/docker.sh | sudo sh`,
    );
  });

  test('copies commands, or selects them where the browser has no clipboard', async () => {
    const rig = await startPageRig();
    await fill(rig);
    const { page } = await browser.open(rig.mirror.url);
    await page.context().grantPermissions(['clipboard-read', 'clipboard-write']);
    await page.goto('/ui/image?name=docker.io/library/alpine:3.20');
    const button = page.getByRole('button', { name: 'Copy the command for Docker' }).first();
    await button.click();
    await page.getByText('Copied', { exact: true }).waitFor();
    expect(await page.evaluate<string>('navigator.clipboard.readText()')).toBe('docker pull alpine:3.20');
  });
});

async function print(file: string, url: string, client: string): Promise<PrintedSetup> {
  const output: string[] = [];
  const write = (text: string) => void output.push(text);
  const code = await runClient({
    file,
    env: {},
    cwd: '/',
    url,
    client,
    json: true,
    write,
    writeError: write,
  });
  expect(code, output.join('')).toBe(0);
  return JSON.parse(output.join(''));
}
