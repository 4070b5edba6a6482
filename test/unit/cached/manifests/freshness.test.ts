/** The two pure decisions over a held tag, as tables and as properties. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  type Decision,
  decide,
  staleAfter,
  TagTtls,
  type UpstreamState,
} from '../../../../src/cached/manifests/freshness.ts';
import type { StaleReason } from '../../../../src/registry/registry.ts';
import type { UpstreamFailure } from '../../../../src/registry/upstream-error.ts';
import { failure } from '../rig.ts';

const now = 1_000_000_000;
const policy = { ttlMs: 60_000, staleIfErrorMs: 3_600_000 };
const up: UpstreamState = { offline: false, away: false, pausedUntil: undefined };
const away = { ...up, away: true };
const offline = { ...up, offline: true };
const paused = { ...up, pausedUntil: now + 1 };

interface Case {
  readonly what: string;
  /** Undefined: not held. */
  readonly ageMs: number | undefined;
  readonly upstream?: UpstreamState;
  readonly mustCheck?: boolean;
  readonly expected: Decision;
}

const fresh: Decision = { kind: 'fresh' };
const check: Decision = { kind: 'check' };
const ask: Decision = { kind: 'ask' };
const stale = (reason: StaleReason): Decision => ({ kind: 'stale', reason });

test.each<Case>([
  { what: 'not held', ageMs: undefined, expected: ask },
  { what: 'not held, upstream away', ageMs: undefined, upstream: away, expected: ask },
  { what: 'not held, offline', ageMs: undefined, upstream: offline, expected: ask },
  { what: 'just confirmed', ageMs: 0, expected: fresh },
  { what: 'at the end of its ttl', ageMs: 59_999, expected: fresh },
  { what: 'older than its ttl', ageMs: 60_000, expected: check },
  { what: 'confirmed in the future: the clock went back', ageMs: -1, expected: check },
  { what: 'young, and the client insists', ageMs: 0, mustCheck: true, expected: check },
  { what: 'young, and the upstream is away', ageMs: 1000, upstream: away, expected: fresh },
  { what: 'young and offline', ageMs: 1000, upstream: offline, expected: fresh },
  { what: 'old and offline', ageMs: 60_000, upstream: offline, expected: stale('offline') },
  { what: 'old, and the upstream is away', ageMs: 60_000, upstream: away, expected: stale('unreachable') },
  { what: 'old, and not to be asked yet', ageMs: 60_000, upstream: paused, expected: stale('rate-limited') },
  {
    what: 'old, and to be asked again',
    ageMs: 60_000,
    upstream: { ...up, pausedUntil: now },
    expected: check,
  },
  {
    what: 'offline and away',
    ageMs: 60_000,
    upstream: { ...away, offline: true },
    expected: stale('offline'),
  },
  {
    what: 'away and paused',
    ageMs: 60_000,
    upstream: { ...paused, away: true },
    expected: stale('unreachable'),
  },
  {
    what: 'young and away, the client insists',
    ageMs: 0,
    upstream: away,
    mustCheck: true,
    expected: stale('unreachable'),
  },
  { what: 'as old as may be', ageMs: 3_600_000, upstream: away, expected: stale('unreachable') },
  { what: 'too old, and no upstream to ask', ageMs: 3_600_001, upstream: away, expected: ask },
  { what: 'too old, but the upstream is there', ageMs: 3_600_001, expected: check },
])('a tag that is $what', ({ ageMs, upstream = up, mustCheck = false, expected }) => {
  const checkedAt = ageMs === undefined ? undefined : now - ageMs;
  expect(decide(checkedAt, now, policy, upstream, mustCheck)).toEqual(expected);
});

test('with a ttl of 0 every request checks', () => {
  expect(decide(now, now, { ...policy, ttlMs: 0 }, up, false)).toEqual(check);
});

test('for ever is for ever', () => {
  const forever = { ...policy, staleIfErrorMs: Number.POSITIVE_INFINITY };
  expect(decide(0, now, forever, away, false)).toEqual(stale('unreachable'));
  expect(staleAfter(failure('timeout'), 0, now, { ...forever, on404: 'keep' })).toBe('unreachable');
});

const state = fc.record({
  offline: fc.boolean(),
  away: fc.boolean(),
  pausedUntil: fc.option(fc.integer({ min: now - 10, max: now + 10 }), { nil: undefined }),
});

test('the decision never asks an upstream that must not be asked, and never hides a tag that may go out', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: -100, max: 5_000_000 }),
      fc.nat(100_000),
      fc.oneof(fc.nat(5_000_000), fc.constant(Number.POSITIVE_INFINITY)),
      state,
      fc.boolean(),
      (ageMs, ttlMs, staleIfErrorMs, upstream, mustCheck) => {
        const { kind } = decide(now - ageMs, now, { ttlMs, staleIfErrorMs }, upstream, mustCheck);
        const mayAsk = !upstream.offline && !upstream.away && !((upstream.pausedUntil ?? 0) > now);
        if (!mayAsk) expect(kind).not.toBe('check');
        if (mayAsk) expect(['fresh', 'check']).toContain(kind);
        if (mustCheck) expect(kind).not.toBe('fresh');
        if (kind === 'fresh') expect(ageMs).toBeLessThan(ttlMs);
        if (kind === 'stale') expect(ageMs).toBeLessThanOrEqual(staleIfErrorMs);
        if (kind === 'ask') expect(ageMs).toBeGreaterThan(staleIfErrorMs);
      },
    ),
  );
});

test.each<[UpstreamFailure, StaleReason]>([
  ['gone', 'gone'],
  ['denied', 'refused'],
  ['limited', 'rate-limited'],
  ['paused', 'rate-limited'],
  ['status', 'unreachable'],
  ['unreachable', 'unreachable'],
  ['timeout', 'unreachable'],
  ['breaker', 'unreachable'],
  ['blocked', 'unreachable'],
  ['mismatch', 'unreachable'],
  ['offline', 'offline'],
])('after a check that failed with %s the held tag goes out as %s', (failed, reason) => {
  expect(staleAfter(failure(failed), now - 100_000, now, { ...policy, on404: 'keep' })).toBe(reason);
});

test('that a tag is gone is honoured on request, and on no other failure', () => {
  const honour = { ...policy, on404: 'honour' as const };
  expect(staleAfter(failure('gone'), now, now, honour)).toBeUndefined();
  expect(staleAfter(failure('denied'), now, now, honour)).toBe('refused');
});

test('a tag that is too old does not go out after a failure; one that is gone is kept whatever its age', () => {
  const keep = { ...policy, on404: 'keep' as const };
  expect(staleAfter(failure('timeout'), now - 3_600_000, now, keep)).toBe('unreachable');
  expect(staleAfter(failure('timeout'), now - 3_600_001, now, keep)).toBeUndefined();
  expect(staleAfter(failure('gone'), 0, now, keep)).toBe('gone');
});

test('a mistake of our own is no reason to give out something stale', () => {
  expect(staleAfter(new TypeError('oops'), now, now, { ...policy, on404: 'keep' })).toBeUndefined();
});

const ttls = new TagTtls({
  ttlMs: 1,
  patterns: [
    { repositories: ['docker.io/team/**'], tags: ['latest', 'nightly-*'], ttlMs: 2 },
    { repositories: ['**'], tags: ['v*.*.*'], ttlMs: 3 },
    { repositories: ['docker.io/**'], tags: ['*'], ttlMs: 4 },
  ],
});

test.each([
  ['docker.io/team/a/b', 'latest', 2],
  ['docker.io/team/a', 'nightly-', 2],
  ['docker.io/team/a', 'nightly', 4],
  ['docker.io/team/a', 'v1.2.3', 3],
  ['ghcr.io/a/b', 'v1.2.3-rc.1', 3],
  ['ghcr.io/a/b', 'v1x2x3', 1],
  ['ghcr.io/a/b', 'rev1.2.3', 1],
  ['docker.io/library/alpine', 'latest', 4],
])('the first rule that fits says the ttl: %s:%s', (name, tag, ttlMs) => {
  expect(ttls.of(name, tag)).toBe(ttlMs);
});
