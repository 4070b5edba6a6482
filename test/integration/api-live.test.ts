/**
 * The event stream of the page: a download with its followers and an upload as they go, one sampler for all open pages, none without one,
 * slow readers, jobs as they change, and a drain that no open page holds up.
 */
import { expect, onTestFinished, test } from 'vitest';
import { jobAnswer } from '../../src/http/api/schema/actions.ts';
import { LiveSamples } from '../../src/overview/figures/live-samples.ts';
import { anonymousCaller, operatorCaller } from '../../src/registry/caller.ts';
import { openImage, startApiRig } from '../support/api-rig.ts';
import { type Call, request } from '../support/client.ts';
import { patternBlob } from '../support/content.ts';
import { eventsOf, nextSample, openEvents } from '../support/event-stream.ts';
import { Recorder } from '../support/recorder.ts';
import { open, startUpload } from '../support/upload-client.ts';
import { basic } from '../support/users.ts';

const admin = { Authorization: basic('admin') };

function listen(url: string): Call {
  const call = openEvents(url, admin);
  onTestFinished(() => call.abort());
  return call;
}

test('a running download with its followers and a running upload, in samples that go on', async () => {
  const rig = await startApiRig();
  const big = patternBlob('live', 3_000_000);
  rig.upstream.putBlob('library/open', big.digest, big);
  const gate = rig.upstream.holdAfter({ digest: big.digest }, 1_000_000);
  const pull = () =>
    request(rig.mirror.url, { path: `/v2/library/open/blobs/${big.digest}`, headers: admin, keep: false });
  const pulls = [pull(), pull()];
  await gate.reached;
  const { location } = await startUpload(rig.mirror.url, 'team/app', { headers: admin });
  const upload = open(rig.mirror.url, 'PATCH', location, { ...admin, 'Content-Length': '1000' });
  upload.write(Buffer.alloc(500));
  const events = listen(rig.mirror.url);
  const running = async () => eventsOf(events.text).at(-1)?.data;
  await expect.poll(running, { timeout: 5000 }).toMatchObject({
    transfers: {
      downloads: [
        { repository: 'docker.io/library/open', digest: big.digest, sizeBytes: 3_000_000, followers: 2 },
      ],
      uploads: [{ repository: 'team/app', user: 'admin', bytes: 500 }],
    },
  });
  gate.release();
  for (const { done } of pulls) expect((await done).sha256).toBe(big.digest);
  await expect.poll(running, { timeout: 5000 }).toMatchObject({ transfers: { downloads: [] } });
  expect((await events.head).headers.get('content-type')).toBe('text/event-stream');
});

test('fifty listeners are served by one sampler, and without a listener nothing is sampled', async () => {
  const timers = new HandTimers();
  const { logger } = new Recorder();
  let reads = 0;
  const samples = new LiveSamples({
    read: async () => {
      reads += 1;
      return sample(reads);
    },
    repositories: { mayPull: async (name, caller) => caller.mayPull(name, 'private') },
    timers,
    logger,
  });
  const heard = new Map<number, string[]>();
  const leave = Array.from({ length: 50 }, (_, at) => {
    const texts: string[] = [];
    heard.set(at, texts);
    const caller = at % 2 === 0 ? operatorCaller : anonymousCaller;
    return samples.listen({ caller, onSample: json => texts.push(json), onEnd: () => {} });
  });
  await expect.poll(() => [...heard.values()].every(texts => texts.length === 1)).toBe(true);
  for (let second = 2; second <= 4; second += 1) {
    timers.fire();
    await expect.poll(() => [...heard.values()].every(texts => texts.length === second)).toBe(true);
  }
  expect([reads, samples.taken, timers.waiting]).toEqual([4, 4, 1]);
  expect(heard.get(0)?.at(-1)).toContain('docker.io/library/secret');
  expect(heard.get(1)?.at(-1)).not.toContain('secret');
  for (const one of leave) one();
  expect(timers.waiting).toBe(0);
});

test('a job is told to its user as it changes', async () => {
  const rig = await startApiRig();
  await rig.pull('library/open', openImage);
  const events = listen(rig.mirror.url);
  await nextSample(events);
  const job = await rig.act('pin', { images: ['open'] });
  const told = () =>
    eventsOf(events.text).flatMap(({ event, data }) => (event === 'job' ? [jobAnswer.parse(data)] : []));
  await expect.poll(() => told().at(-1)?.state).toBe('done');
  expect(new Set(told().map(({ id }) => id))).toEqual(new Set([job.id]));
});

test('open pages do not hold up the end of the daemon', async () => {
  const rig = await startApiRig();
  const events = listen(rig.mirror.url);
  await nextSample(events);
  await rig.mirror.close(30_000);
  expect((await events.done).end).toBe('complete');
});

function sample(at: number) {
  return {
    at: new Date(at).toISOString(),
    transfers: {
      downloads: [
        {
          upstream: 'docker.io',
          repository: 'docker.io/library/secret',
          digest: 'sha256:secret',
          frontBytes: 1,
          sizeBytes: 2,
          followers: 1,
          bytesPerSecond: 1,
        },
      ],
      uploads: [],
    },
    store: { bytes: 1, blobs: 1, limitBytes: null, freeBytes: null },
    requests: 1,
    hits: 1,
    servedBytes: 1,
    upstreamBytes: 1,
  };
}

/** Time passes when the test says so. */
class HandTimers {
  readonly #runs = new Set<() => void>();

  get waiting(): number {
    return this.#runs.size;
  }

  after(_delayMs: number, run: () => void): () => void {
    this.#runs.add(run);
    return () => this.#runs.delete(run);
  }

  fire(): void {
    const runs = [...this.#runs];
    this.#runs.clear();
    for (const run of runs) run();
  }
}
