/** Against a receiver on a real port and a spool on a real disk; time moves only by hand. */
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { NotificationTarget, type TargetOptions } from '../../../src/notify/target.ts';
import { Webhook } from '../../../src/notify/webhook.ts';
import { isDigest } from '../../../src/oci/digest.ts';
import { parseTag } from '../../../src/oci/name.ts';
import type { RegistryEvent } from '../../../src/telemetry/registry-events.ts';
import { Recorder } from '../../support/recorder.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { WebhookReceiver } from '../../support/webhook-receiver.ts';
import { ManualClock } from '../upstream/rig.ts';

const digest = `sha256:${'a'.repeat(64)}`;
const day = 24 * 60 * 60_000;

function pushed(tag: string, repository = 'team/app'): RegistryEvent {
  if (!isDigest(digest)) throw new Error('expected a digest');
  const descriptor = { mediaType: 'application/vnd.oci.image.manifest.v1+json', digest, size: 7 };
  const tags = [parseTag(tag)];
  return { type: 'manifest-pushed', origin: {}, repository, reference: parseTag(tag), descriptor, tags };
}

function pulled(tag: string, address: string): RegistryEvent {
  const push = pushed(tag);
  if (push.type !== 'manifest-pushed') throw new Error('expected a push');
  const { reference, descriptor, repository } = push;
  return { type: 'manifest-pulled', origin: { address }, repository, reference, descriptor };
}

interface Rig {
  readonly clock: ManualClock;
  readonly recorder: Recorder;
  readonly receiver: WebhookReceiver;
  readonly folder: string;
  readonly counts: { delivered: number; failed: number; dropped: number };
  /** As after a start of the process. */
  open(options?: Partial<TargetOptions>): NotificationTarget;
}

async function setUp(): Promise<Rig> {
  const [clock, recorder, receiver] = [new ManualClock(), new Recorder(), await WebhookReceiver.start()];
  const folder = join(await tempDir(), 'spool', 'ci');
  const counts = { delivered: 0, failed: 0, dropped: 0 };
  let ids = 0;
  const source = { addr: 'host:5000', instanceID: 'i' };
  const open = (options: Partial<TargetOptions> = {}) => {
    const { url, secret } = receiver;
    return new NotificationTarget({
      name: 'ci',
      events: ['push', 'pull', 'delete'],
      matches: () => true,
      folder,
      limits: { entries: 10_000, bytes: 64 * 1024 * 1024, ageMs: day },
      webhook: new Webhook({ url, secret, userAgent: 'test', deadlineMs: 10_000, timers: clock }),
      envelope: { source, publicUrl: undefined, now: clock.now, newId: () => `event-${++ids}` },
      observer: recorder.observer,
      logger: recorder.logger,
      onResult: (result, count) => {
        counts[result] += count;
      },
      timers: clock,
      now: clock.now,
      random: () => 0.5,
      ...options,
    });
  };
  return { clock, recorder, receiver, folder, counts, open };
}

const names = (from: number, to: number) => Array.from({ length: to - from }, (_, n) => `t${from + n}`);

test('a target that is down for a minute gets all events afterwards, in order, each signed', async () => {
  const { clock, receiver, counts, open } = await setUp();
  await receiver.takeDown();
  const target = open();
  for (const tag of names(0, 300)) target.happened(pushed(tag));
  for (const pauseMs of [1000, 2000, 4000, 8000, 16_000]) await clock.pass(pauseMs);
  while (!clock.delays.includes(32_000)) await new Promise(setImmediate);
  expect(counts).toEqual({ delivered: 0, failed: 6, dropped: 0 });
  await receiver.putUp();
  clock.advance(32_000);
  for (const tag of names(300, 310)) target.happened(pushed(tag));
  await receiver.untilTaken(310);
  expect(receiver.tags).toEqual(names(0, 310));
  expect(receiver.wrongSignatures).toBe(0);
  await target.close();
  expect(counts).toEqual({ delivered: 310, failed: 6, dropped: 0 });
});

test('a target that answers wrongly for a minute keeps its place in line, and pauses go up to 5 minutes', async () => {
  const { clock, receiver, recorder, counts, open } = await setUp();
  const target = open();
  receiver.answer = 500;
  for (const tag of names(0, 3)) target.happened(pushed(tag));
  for (const pauseMs of [1000, 2000, 4000]) await clock.pass(pauseMs);
  await receiver.untilRequests(4);
  receiver.answer = 302; // a redirect is not followed
  for (const pauseMs of [8000, 16_000, 32_000, 64_000, 128_000, 256_000, 300_000, 300_000])
    await clock.pass(pauseMs);
  await receiver.untilRequests(12);
  receiver.answer = 202;
  await clock.pass(300_000);
  await receiver.untilTaken(3);
  expect(receiver.requests).toEqual([
    ...Array(4).fill('500 push t0'),
    ...Array(8).fill('302 push t0'),
    ...names(0, 3).map(tag => `202 push ${tag}`),
  ]);
  await target.close();
  expect(counts).toEqual({ delivered: 3, failed: 12, dropped: 0 });
  expect(recorder.logged.map(line => line.replace(/ \{.*/, ''))).toEqual([
    'warn cannot send notifications now, trying again',
    'info notifications are sent again',
  ]);
  expect(recorder.logged.join()).not.toContain('key=k');
});

test('a target that is slow for ever is given up at the deadline, and holds up no event for longer', async () => {
  const { clock, receiver, counts, open } = await setUp();
  receiver.answer = 'silence';
  const target = open();
  for (const tag of names(0, 2)) target.happened(pushed(tag));
  for (let attempt = 1; attempt <= 3; attempt += 1) {
    await receiver.untilRequests(attempt);
    await clock.pass(10_000);
    await clock.pass(1000 * 2 ** (attempt - 1));
  }
  await receiver.untilRequests(4);
  receiver.answer = 200;
  await clock.pass(10_000);
  await clock.pass(8000);
  await receiver.untilTaken(2);
  expect(receiver.tags).toEqual(names(0, 2));
  await target.close();
  expect(counts).toEqual({ delivered: 2, failed: 4, dropped: 0 });
});

test('a closed target ends a request that hangs, and the next start sends what was not sent, in order', async () => {
  const { receiver, clock, counts, open } = await setUp();
  const first = open();
  for (const tag of names(0, 5)) first.happened(pushed(tag));
  await receiver.untilTaken(5);
  receiver.answer = 'silence';
  for (const tag of names(5, 600)) first.happened(pushed(tag));
  await receiver.untilRequests(6);
  const closed = first.close();
  await clock.pass(1000); // it had its moment
  await closed;
  await expect(first.replay()).rejects.toThrow('are closed');
  receiver.answer = 200;
  const second = open();
  for (const tag of names(600, 610)) second.happened(pushed(tag)); // before its spool is open
  await receiver.untilTaken(610);
  expect(receiver.tags).toEqual(names(0, 610));
  await second.close();
  expect(counts).toMatchObject({ delivered: 610, dropped: 0 });
});

test('the spool of a target that never answers is bounded, and the oldest go', async () => {
  const { clock, receiver, recorder, counts, open } = await setUp();
  receiver.answer = 'silence';
  const limits = { entries: 1000, bytes: 64 * 1024 * 1024, ageMs: day };
  const target = open({ limits });
  for (let burst = 0; burst < 10; burst += 1) {
    for (const tag of names(burst * 500, burst * 500 + 500)) target.happened(pushed(tag));
    await receiver.untilRequests(1);
    await new Promise(setImmediate);
  }
  receiver.answer = 200;
  await clock.pass(10_000); // the first one, which was being sent, is not sent again
  await clock.pass(1000);
  await receiver.untilTaken(1000);
  await target.close();
  expect(receiver.tags).toEqual(names(4000, 5000));
  expect(counts).toEqual({ delivered: 1000, failed: 1, dropped: 4000 });
  expect(recorder.logged.filter(line => line.includes('are dropped'))).toHaveLength(1);
});

test('an event older than 24 h is dropped, and the younger one after it arrives', async () => {
  const { clock, receiver, counts, open } = await setUp();
  receiver.answer = 500;
  const target = open();
  target.happened(pushed('old'));
  await clock.pass(1000);
  while (!clock.delays.includes(2000)) await new Promise(setImmediate);
  clock.advance(1000);
  target.happened(pushed('young'));
  receiver.answer = 200;
  clock.advance(day - 1500);
  await receiver.untilTaken(1);
  await target.close();
  expect(receiver.tags).toEqual(['young']);
  expect(counts).toEqual({ delivered: 1, failed: 2, dropped: 1 });
});

test('a replay sends all that the spool keeps again, at once and in order, after a restart too', async () => {
  const { receiver, clock, counts, open } = await setUp();
  const first = open();
  for (const tag of names(0, 4)) first.happened(pushed(tag));
  await receiver.untilTaken(4);
  receiver.answer = 503;
  first.happened(pushed('t4'));
  while (!clock.delays.includes(1000)) await new Promise(setImmediate);
  receiver.answer = 200;
  expect(await first.replay()).toBe(5); // it ends the pause
  await receiver.untilTaken(9);
  await first.close();
  const second = open();
  expect(await second.replay()).toBe(5);
  await receiver.untilTaken(14);
  const all = names(0, 5);
  expect(receiver.tags).toEqual([...all.slice(0, 4), ...all, ...all]);
  expect(new Set(receiver.taken.map(({ id }) => id)).size).toBe(5);
  while (counts.delivered < 14) await new Promise(setImmediate);
  clock.advance(2 * day);
  expect(await second.replay()).toBe(0);
  await second.close();
  expect(counts).toEqual({ delivered: 14, failed: 1, dropped: 0 });
});

test('pulls of one image by one client within a minute are one event; events and repositories are chosen', async () => {
  const { receiver, clock, open } = await setUp();
  const target = open({ matches: name => name.startsWith('team/') });
  expect(target.wantsPulls).toBe(true);
  for (let n = 0; n < 3; n += 1) target.happened(pulled('a', '10.0.0.1'));
  target.happened(pulled('a', '10.0.0.2'));
  target.happened(pushed('b', 'other/app'));
  clock.advance(60_000);
  target.happened(pulled('a', '10.0.0.1'));
  target.happened(pushed('c'));
  await receiver.untilTaken(4);
  await target.close();
  expect(receiver.taken.map(({ action, request }) => [action, request])).toEqual([
    ['pull', { addr: '10.0.0.1' }],
    ['pull', { addr: '10.0.0.2' }],
    ['pull', { addr: '10.0.0.1' }],
    ['push', {}],
  ]);
  const deaf = open({ events: ['delete'] });
  expect(deaf.wantsPulls).toBe(false);
  deaf.happened(pushed('d'));
  deaf.happened({ type: 'tag-deleted', origin: {}, repository: 'team/app', tag: parseTag('e') });
  await receiver.untilTaken(5);
  expect(receiver.requests.at(-1)).toBe('200 delete e');
  await deaf.close();
});
