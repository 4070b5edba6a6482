/** How an upstream with credentials is asked, what is learnt of its answers, and how long a visibility stands. */
import { expect, test } from 'vitest';
import {
  KnownVisibility,
  standingOf,
  VisibilityCheck,
  visibilityTtlMs,
} from '../../../../src/cached/access/visibility.ts';
import { parseRepository, parseTag } from '../../../../src/oci/name.ts';
import { UpstreamError, type UpstreamFailure } from '../../../../src/registry/upstream-error.ts';
import { Recorder } from '../../../support/recorder.ts';
import { MemoryOrigin, StoreRig } from '../store-rig.ts';

const repository = parseRepository('team/app');
const tag = parseTag('latest');
const { signal } = new AbortController();

/** What the upstream says to those without credentials, and to those with them. Undefined: 200. */
interface Says {
  anonymous: UpstreamFailure | undefined;
  account: UpstreamFailure | undefined;
}

async function rig(says: Says) {
  const store = await StoreRig.create();
  const record = await store.record('r.lan/team/app');
  const clock = { ms: 1_700_000_000_000 };
  const visibility = new KnownVisibility({
    links: store.links,
    logger: new Recorder().logger,
    now: () => clock.ms,
  });
  const asked: string[] = [];
  const inner = new MemoryOrigin();
  inner.addManifest(
    Buffer.from('{"schemaVersion":2,"layers":[]}'),
    'application/vnd.oci.image.manifest.v1+json',
    'latest',
  );
  inner.before = ({ options }) => {
    const who = options.anonymous === true ? 'anonymous' : 'account';
    asked.push(who);
    const failure = says[who];
    if (failure === undefined) return;
    throw new UpstreamError({ upstream: 'r.lan', kind: 'manifest', failure, message: who });
  };
  const origin = new VisibilityCheck({ origin: inner, visibility, open: async () => record });
  const resolve = () =>
    origin.resolve(repository, tag, { signal }).then(
      () => 'found',
      (error: unknown) => (error instanceof UpstreamError ? error.failure : error),
    );
  return { origin, record, clock, asked, resolve, says };
}

test.each([
  [undefined, undefined, 'found', 'public', ['anonymous']],
  ['denied', undefined, 'found', 'private', ['anonymous', 'account']],
  ['gone', undefined, 'found', 'private', ['anonymous', 'account']],
  ['denied', 'denied', 'denied', undefined, ['anonymous', 'account']],
  ['gone', 'gone', 'gone', undefined, ['anonymous', 'account']],
  ['denied', 'timeout', 'timeout', undefined, ['anonymous', 'account']],
  ['limited', undefined, 'found', undefined, ['anonymous', 'account']],
  ['paused', undefined, 'found', undefined, ['anonymous', 'account']],
  ['unreachable', undefined, 'unreachable', undefined, ['anonymous']],
  ['status', undefined, 'status', undefined, ['anonymous']],
] as const)('anonymous: %s, with credentials: %s', async (anonymous, account, result, visibility, who) => {
  const { resolve, record, asked } = await rig({ anonymous, account });
  expect(await resolve()).toBe(result);
  expect(record.visibility?.verdict).toBe(visibility);
  expect(asked).toEqual(who);
});

test('a private one is asked with the credentials alone for a day, then anonymously again', async () => {
  const { resolve, record, clock, asked, says } = await rig({ anonymous: 'denied', account: undefined });
  await resolve();
  says.anonymous = undefined;
  clock.ms += visibilityTtlMs - 1;
  await resolve();
  expect(asked).toEqual(['anonymous', 'account', 'account']);
  expect(record.visibility?.verdict).toBe('private');
  clock.ms += 1;
  await resolve();
  expect(asked.slice(3)).toEqual(['anonymous']);
  expect(record.visibility?.verdict).toBe('public');
});

test('a failed check takes no visibility away, and a limited one changes none', async () => {
  const { resolve, record, says } = await rig({ anonymous: undefined, account: undefined });
  await resolve();
  for (const anonymous of ['unreachable', 'limited', 'timeout'] as const) {
    says.anonymous = anonymous;
    await resolve();
    expect(record.visibility?.verdict).toBe('public');
  }
});

test('while the visibility is fresh a manifest is fetched with the credentials', async () => {
  const { origin, resolve, asked } = await rig({ anonymous: undefined, account: undefined });
  await resolve();
  await origin.manifest(repository, tag, { signal });
  expect(asked).toEqual(['anonymous', 'account']);
});

const now = 1_700_000_000_000;

test('without a check it is unknown', () => {
  expect(standingOf(undefined, now)).toEqual({ visibility: 'unknown', isFresh: false });
});

test.each([
  [0, true],
  [visibilityTtlMs - 1, true],
  [visibilityTtlMs, false],
  [10 * visibilityTtlMs, false],
  [-1, false],
])('%i ms after it was found out it is fresh: %j, and stands either way', (ageMs, isFresh) => {
  for (const visibility of ['public', 'private'] as const) {
    expect(standingOf({ verdict: visibility, checkedAt: now - ageMs }, now)).toEqual({ visibility, isFresh });
  }
});

test('it is believed for a day', () => {
  expect(visibilityTtlMs).toBe(86_400_000);
});
