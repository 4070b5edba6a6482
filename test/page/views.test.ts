/** Every view with real content: what it shows, in both colours and on three widths, without a word in the console and without barriers. */
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  findBarriers,
  keepScreenshot,
  openBrowser,
  type TestBrowser,
  widthOverflow,
} from '../support/browser.ts';
import { requires } from '../support/requires.ts';
import { alpine, fill, logIn, second, startPageRig } from './page-rig.ts';

interface View {
  readonly name: string;
  readonly path: string;
  /** What is there once all of it has been read. */
  readonly texts: readonly (string | RegExp)[];
}

const views: readonly View[] = [
  {
    name: 'overview',
    path: '/ui/',
    texts: [
      'Answered from here',
      'Hit ratio',
      'Nothing is being downloaded',
      'docker.io',
      /of \S+ GiB|no limit/,
    ],
  },
  {
    name: 'images',
    path: '/ui/images',
    texts: ['docker.io/library/alpine', '3.20', 'amd64', '1 attestation', 'team/app', 'incomplete', 'fresh'],
  },
  {
    name: 'image-mirrored',
    path: '/ui/image?name=docker.io/library/alpine:3.20',
    texts: [
      'linux/arm64',
      'ADD alpine-minirootfs.tar.gz',
      'LANG=C.UTF-8',
      '8080/tcp',
      'docker pull',
      'Evict',
    ],
  },
  {
    name: 'image-hosted',
    path: '/ui/image?name=team/app:1.0',
    texts: ['Signature', 'Restore', second.digest.slice(0, 19), 'Delete'],
  },
  {
    name: 'cold',
    path: '/ui/cold',
    texts: ['Next eviction', 'The coldest', alpine.layers[0]?.descriptor.digest.slice(0, 19) ?? ''],
  },
  { name: 'offline', path: '/ui/offline', texts: ['of 4 images complete', 'lacking:1.0', 'Warm'] },
  {
    name: 'setup',
    path: '/ui/setup',
    texts: ['/etc/docker/daemon.json', 'docker pull busybox:latest', 'docker.sh'],
  },
  { name: 'missing', path: '/ui/nosuch', texts: ['No such page'] },
];
const looks = [
  { width: 1280, colours: 'light' },
  { width: 1280, colours: 'dark' },
  { width: 768, colours: 'light' },
  { width: 390, colours: 'dark' },
  { width: 390, colours: 'light' },
] as const;

requires('chromium')('the page', () => {
  let browser: TestBrowser;

  beforeAll(async () => {
    browser = await openBrowser();
  });

  afterAll(async () => {
    await browser.close();
  });

  test('shows every view in both colours and on three widths, with nothing in the console and no barrier', async () => {
    const rig = await startPageRig();
    await fill(rig);
    for (const look of looks) {
      const { page, problems } = await browser.open(rig.mirror.url, look);
      await logIn(page, 'alice');
      await page.getByText('Log out').waitFor();
      for (const view of views) {
        const what = `${view.name}-${look.width}-${look.colours}`;
        await page.goto(view.path);
        await expectTexts(page, view.texts);
        await keepScreenshot(page, what);
        expect(await widthOverflow(page), what).toBeLessThanOrEqual(0);
        if (look.width !== 768) expect(await findBarriers(page), what).toEqual([]);
      }
      expect(problems, `${look.width}-${look.colours}`).toEqual([]);
    }
  });

  describe('finds its way', () => {
    test('by search as one types, by links, back and forward, with the focus on what is new', async () => {
      const rig = await startPageRig();
      await fill(rig);
      const { page, problems } = await browser.open(rig.mirror.url);
      await page.goto('/');
      await page.waitForURL('**/ui/');
      await page.getByRole('link', { name: 'Images', exact: true }).click();
      await page.getByLabel('Search repositories').pressSequentially('GRAF', { delay: 20 });
      await page.waitForURL('**/ui/images?q=GRAF');
      await expectTexts(page, ['1 image in 1 repository']);
      expect(await page.getByText('docker.io/library/alpine').count()).toBe(0);
      expect(await page.locator('mark').first().textContent()).toBe('graf');
      await page.getByRole('link', { name: 'docker.io/grafana/grafana:11.2.0' }).click();
      await page.getByRole('heading', { level: 1, name: 'grafana/grafana:11.2.0' }).waitFor();
      expect(await page.evaluate<string>('document.activeElement.id')).toBe('view-title');
      expect(await page.title()).toContain('grafana/grafana:11.2.0');
      await page.goBack();
      await expectTexts(page, ['1 image in 1 repository']);
      expect(await page.getByLabel('Search repositories').inputValue()).toBe('GRAF');
      await page.getByLabel('Search repositories').fill('nosuchrepository');
      await expectTexts(page, ['No image that you may see fits']);
      expect(problems).toEqual([]);
    });

    test('with the keyboard alone: skip link, navigation, colours, client', async () => {
      const rig = await startPageRig();
      const { page, problems } = await browser.open(rig.mirror.url);
      await page.goto('/ui/setup');
      await expectTexts(page, ['/etc/docker/daemon.json']);
      await page.keyboard.press('Tab');
      expect(await page.evaluate<string>('document.activeElement.textContent')).toBe('Skip to content');
      for (let count = 0; count < 2; count += 1) await page.keyboard.press('Tab');
      await page.keyboard.press('Enter');
      await page.waitForURL('**/ui/');
      await page.goto('/ui/setup?client=podman');
      await page.getByRole('radio', { name: 'Podman' }).focus();
      await page.keyboard.press('ArrowDown');
      await page.waitForURL('**/ui/setup?client=containerd');
      await page.getByRole('radio', { name: 'Light' }).focus();
      await page.keyboard.press('ArrowRight');
      expect(await page.evaluate<string>('document.documentElement.dataset.theme')).toBe('dark');
      await page.reload();
      expect(await page.evaluate<string>('document.documentElement.dataset.theme')).toBe('dark');
      expect(problems).toEqual([]);
    });

    test('to a platform of an index, and to another period of the plots', async () => {
      const rig = await startPageRig();
      await fill(rig);
      const { page, problems } = await browser.open(rig.mirror.url);
      await logIn(page, 'alice');
      await page.getByText('Log out').waitFor();
      await page.goto('/ui/image?name=docker.io/library/alpine:3.20');
      await page.getByRole('button', { name: 'Show linux/arm64' }).click();
      await expectTexts(page, ['The manifest of this platform is not held']);
      await page.goto('/ui/');
      await page.getByRole('radio', { name: '30 days' }).check({ force: true });
      await page.waitForURL('**/ui/?days=30');
      await page.getByRole('img', { name: /^Hit ratio in the last 30 days: / }).waitFor();
      expect(problems).toEqual([]);
    });
  });

  test('says so where nothing is held yet, and where the way leads on', async () => {
    const rig = await startPageRig();
    const { page, problems } = await browser.open(rig.mirror.url);
    await logIn(page, 'alice');
    await page.getByText('Log out').waitFor();
    for (const [path, text] of [
      ['/ui/images', 'Nothing is held yet.'],
      ['/ui/cold', 'Nothing can be evicted.'],
      ['/ui/offline', 'No images.'],
      ['/ui/', 'Nothing was asked in this period.'],
      ['/ui/image?name=docker.io/library/nosuch:1', 'It is not held here'],
    ] as const) {
      await page.goto(path);
      await expectTexts(page, [text]);
      expect(await findBarriers(page), path).toEqual([]);
    }
    expect(problems.filter(text => !text.includes('404'))).toEqual([]);
  });
});

async function expectTexts(page: Page, texts: readonly (string | RegExp)[]): Promise<void> {
  for (const text of texts) await page.getByText(text).filter({ visible: true }).first().waitFor();
  expect(await page.getByRole('heading', { level: 1 }).count()).toBe(1);
}
