/**
 * Nothing private is named to those who may not see it: not in lists and searches, details and errors, cold blobs, plots, running transfers,
 * samples of the event stream, or the history of jobs.
 */
import { expect, test } from 'vitest';
import { sampleEvent } from '../../src/http/api/schema/transfers.ts';
import {
  type ApiRig,
  accountPassword,
  closedImage,
  openImage,
  startApiRig,
  type User,
} from '../support/api-rig.ts';
import { get, request } from '../support/client.ts';
import { patternBlob } from '../support/content.ts';
import { nextSample, openEvents } from '../support/event-stream.ts';
import { buildImage } from '../support/images.ts';
import { basic } from '../support/users.ts';

const big = patternBlob('closed big', 3_000_000);
const closedName = 'docker.io/library/closed';

/** What must not be read by those who may not pull `library/closed`. */
function secrets(): readonly string[] {
  const parts = [...closedImage.blobs, ...closedImage.manifests].map(({ descriptor }) => descriptor.digest);
  return ['closed', big.digest, ...parts, accountPassword];
}

/** Both images are held, and a blob of the private one is on its way until the test ends. */
async function start() {
  const rig = await startApiRig();
  rig.upstream.putBlob('library/closed', big.digest, big);
  await rig.pull('library/open', openImage);
  await rig.pull('library/closed', closedImage, 'admin');
  rig.upstream.put('library/closed', buildImage({ layers: ['pulled once'] }), 'once');
  const once = await get(rig.mirror.url, '/v2/library/closed/manifests/once', {
    headers: { Authorization: basic('admin') },
  });
  expect(once.status).toBe(200); // for the report
  await rig.mirror.settled();
  const gate = rig.upstream.holdAfter({ digest: big.digest }, 2_000_000);
  const call = request(rig.mirror.url, {
    path: `/v2/library/closed/blobs/${big.digest}`,
    headers: { Authorization: basic('admin') },
    keep: false,
  });
  await gate.reached;
  await expect
    .poll(async () =>
      (await rig.read('cold', '', 'admin')).blobs.some(({ repository }) => repository === closedName),
    )
    .toBe(true);
  const finish = () => {
    gate.release();
    return call.done;
  };
  return { rig, finish };
}

/** Every answer to that caller, one after the other. */
async function everything(rig: ApiRig, user: User | undefined): Promise<ReadonlyMap<string, string>> {
  const layer = closedImage.layers[0]?.descriptor.digest ?? '';
  const asked = [
    'repositories',
    'repositories?q=closed',
    'images',
    'images?q=closed',
    'images?repository=closed',
    'image?name=closed',
    `image?name=closed@${closedImage.digest}`,
    'offline',
    'offline?q=closed',
    'session',
    'setup',
    'stats',
    'upstreams',
    'history',
    'transfers',
    'cold',
    'report',
    'openapi.json',
  ];
  const answers = new Map<string, string>();
  for (const path of asked) {
    const { body } = await rig.call('GET', path, { user });
    answers.set(path, body.toString());
  }
  const Accept = { Accept: 'text/event-stream' };
  if (user !== undefined) {
    const events = openEvents(rig.mirror.url, { Authorization: basic(user), ...Accept });
    answers.set('events', JSON.stringify(await nextSample(events)));
    events.abort();
  }
  for (const body of [
    { images: [closedName] },
    { images: [`${closedName}@${layer}`] },
    { images: [layer] },
  ]) {
    const answer = await rig.call('POST', 'actions/evict', { user, body });
    answers.set(`evict ${JSON.stringify(body)}`, `${answer.status}`);
  }
  return answers;
}

test('a caller who may not pull a private repository finds no trace of it anywhere', async () => {
  const { rig, finish } = await start();
  for (const user of [undefined, 'writer'] as const)
    for (const [path, answer] of await everything(rig, user)) {
      const echoed = path.startsWith('image?')
        ? answer.replaceAll('library/closed', '').replaceAll(closedImage.digest, '')
        : answer;
      for (const secret of secrets())
        expect([user, path, echoed]).not.toEqual([user, path, expect.stringContaining(secret)]);
    }
  expect((await finish()).sha256).toBe(big.digest);
});

test('what isn’t held and what may not be seen are refused in the same words', async () => {
  const { rig, finish } = await start();
  for (const user of [undefined, 'writer'] as const) {
    const answers = [];
    for (const name of ['closed', 'nosuch']) {
      const { status, body } = await rig.call('GET', `image?name=${name}`, { user });
      answers.push([status, body.toString().replaceAll(name, 'NAME')]);
    }
    expect(answers[0]).toEqual(answers[1]);
  }
  await finish();
});

test('those who may pull it see it in all of these', async () => {
  const { rig, finish } = await start();
  const answers = await everything(rig, 'reader');
  for (const path of [
    'repositories?q=closed',
    'images?q=closed',
    'image?name=closed',
    'offline?q=closed',
    'transfers',
    'cold',
    'report',
    'events',
  ])
    expect([path, answers.get(path)]).toEqual([path, expect.stringContaining(closedName)]);
  expect(sampleEvent.parse(JSON.parse(answers.get('events') ?? '')).transfers.downloads).toMatchObject([
    { repository: closedName, digest: big.digest, followers: expect.any(Number) },
  ]);
  await finish();
});

test('a job is told to the user who began it, and to no other', async () => {
  const rig = await startApiRig();
  await rig.pull('library/closed', closedImage, 'admin');
  const job = await rig.act('pin', { images: ['closed'] });
  expect(job).toMatchObject({ state: 'done', user: 'admin' });
  for (const user of ['reader', 'writer'] as const)
    expect((await rig.call('GET', `jobs/${job.id}`, { user })).status).toBe(404);
});
