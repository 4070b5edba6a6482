/** Who sees what on the page: visitors, users, administrators; and what the page says when the mirror refuses or is gone. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { findBarriers, keepScreenshot, openBrowser, type TestBrowser } from '../support/browser.ts';
import { requires } from '../support/requires.ts';
import { fill, logIn, startPageRig } from './page-rig.ts';

requires('chromium')('the page', () => {
  let browser: TestBrowser;

  beforeAll(async () => {
    browser = await openBrowser();
  });

  afterAll(async () => {
    await browser.close();
  });

  test('shows visitors what they may pull and no action, and asks for a login where figures are', async () => {
    const rig = await startPageRig();
    await fill(rig);
    const { page, problems } = await browser.open(rig.mirror.url);
    await page.goto('/ui/images');
    await page.getByText('docker.io/library/alpine').waitFor();
    expect(await page.getByText('team/app').count()).toBe(0);
    await page.goto('/ui/image?name=docker.io/library/alpine:3.20');
    await page.getByText('ADD alpine-minirootfs').first().waitFor();
    expect(await page.getByRole('button', { name: /^(?:Evict|Pin|Warm|Promote)/ }).count()).toBe(0);
    await page.goto('/ui/');
    await page.getByText('Users of this mirror see here').waitFor();
    await keepScreenshot(page, 'logged-out');
    expect(await findBarriers(page)).toEqual([]);
    expect(problems).toEqual([]);
  });

  test('logs in and out, says what was wrong, and goes back to where one came from', async () => {
    const rig = await startPageRig();
    await fill(rig);
    const { page } = await browser.open(rig.mirror.url);
    await page.goto('/ui/images?q=app');
    await page.getByText('No image that you may see fits').waitFor();
    await page.getByRole('link', { name: 'Log in' }).click();
    await page.getByLabel('Name').fill('bob');
    await page.getByLabel('Password').fill('wrong');
    await page.getByRole('main').getByRole('button', { name: 'Log in' }).click();
    await page.getByRole('alert').getByText('Wrong user name or password.').waitFor();
    await keepScreenshot(page, 'login-wrong');
    expect(await findBarriers(page)).toEqual([]);
    await page.getByLabel('Password').fill("bob's");
    await page.getByRole('main').getByRole('button', { name: 'Log in' }).click();
    await page.waitForURL('**/ui/images?q=app');
    await page.getByText('team/app').first().waitFor();
    const cookies = await page.context().cookies();
    expect(cookies).toMatchObject([{ name: 'cistern_session', httpOnly: true, sameSite: 'Strict' }]);
    await page.getByRole('button', { name: 'Log out' }).click();
    await page.getByText('No image that you may see fits').waitFor();
    expect(await page.context().cookies()).toEqual([]);
  });

  test('offers no action to a user who may only pull', async () => {
    const rig = await startPageRig();
    await fill(rig);
    const { page } = await browser.open(rig.mirror.url);
    await logIn(page, 'bob');
    await page.getByText('Log out').waitFor();
    await page.goto('/ui/image?name=team/app:1.0');
    await page.getByText('Signature', { exact: true }).waitFor();
    expect(await page.getByRole('button', { name: /^(?:Delete|Pin|Restore|Promote)/ }).count()).toBe(0);
    await page.goto('/ui/');
    await page.getByText('Answered from here', { exact: true }).waitFor();
    expect(await page.getByRole('button', { name: /Collect|Scrub/ }).count()).toBe(0);
  });

  test('needs no login without users, and offers nothing to change', async () => {
    const rig = await startPageRig({ access: {}, hosted: { repositories: [] } });
    const { page, problems } = await browser.open(rig.mirror.url);
    await page.goto('/ui/');
    await page.getByText('Not asked yet').waitFor();
    expect(await page.getByRole('link', { name: 'Log in' }).count()).toBe(0);
    await page.goto('/ui/login');
    await page.getByText('There are no users here').waitFor();
    expect(problems).toEqual([]);
  });

  test('is that of a visitor once the session has ended', async () => {
    const rig = await startPageRig();
    await fill(rig);
    const { page } = await browser.open(rig.mirror.url);
    await logIn(page, 'alice');
    await page.getByText('Log out').waitFor();
    await page.context().clearCookies();
    await page.getByRole('link', { name: 'Cold' }).click();
    await page.getByText('Users of this mirror see here').waitFor();
    await page.getByRole('link', { name: 'Log in' }).first().click();
    await page.getByLabel('Name').waitFor();
    expect(await page.getByText('Log out').count()).toBe(0);
  });

  test('says that the mirror is gone, keeps what was read, and tries again', async () => {
    const rig = await startPageRig();
    await fill(rig);
    const { page } = await browser.open(rig.mirror.url);
    await page.goto('/ui/images');
    await page.getByText('docker.io/library/alpine').waitFor();
    await rig.mirror.close();
    await page.getByLabel('Search repositories').fill('x');
    await page.getByText('The mirror does not answer').waitFor();
    await keepScreenshot(page, 'no-answer');
    expect(await findBarriers(page)).toEqual([]);
    await page.getByRole('button', { name: 'Try again' }).click();
    await page.getByText('The mirror does not answer').waitFor();
    expect(await page.getByText('docker.io/library/alpine').count()).toBe(0); // it doesn't fit what was typed
  });
});
