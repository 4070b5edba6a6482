/** Figures as the page shows them. */
import { expect, it, test } from 'vitest';
import {
  formatCount,
  formatCounted,
  formatLast,
  formatMoment,
  formatRate,
  formatSentence,
  formatTimeLeft,
  formatUntil,
  shareOf,
  splitFigure,
} from '../../../../src/ui/text/figures.ts';

it.each([
  [0, '0'],
  [999, '999'],
  [1000, '1,000'],
  [1_234_567, '1,234,567'],
])('groups %d as %s', (count, text) => expect(formatCount(count)).toBe(text));

it('knows one and many', () => {
  expect([0, 1, 2000].map(count => formatCounted(count, 'repository', 'repositories'))).toEqual([
    '0 repositories',
    '1 repository',
    '2,000 repositories',
  ]);
});

it('splits a figure from its unit', () => {
  expect(splitFigure('1.5 GiB')).toEqual({ number: '1.5', unit: 'GiB' });
  expect(splitFigure('-')).toEqual({ number: '-', unit: '' });
});

test('speeds and the time that is left', () => {
  expect(formatRate(2 ** 20 * 1.5)).toBe('1.5 MiB/s');
  expect(formatTimeLeft(100, 1100, 100)).toBe('10 s left');
  expect(formatTimeLeft(100, null, 100)).toBe('');
  expect(formatTimeLeft(100, 1100, 0)).toBe('');
  expect(formatTimeLeft(1100, 1100, 100)).toBe('');
});

test('times', () => {
  const nowMs = Date.parse('2026-11-27T12:00:00Z');
  expect(formatLast(null, nowMs)).toBe('never');
  expect(formatLast('2026-11-27T12:00:03Z', nowMs)).toBe('just now');
  expect(formatLast('2026-11-27T10:30:00Z', nowMs)).toBe('1 h ago');
  expect(formatUntil('2026-11-27T12:05:00Z', nowMs)).toBe('in 5 min');
  expect(formatUntil('2026-11-27T11:05:00Z', nowMs)).toBe('now');
  expect(formatMoment('2026-11-27T12:05:00')).toBe('2026-11-27 12:05');
  expect([formatMoment(null), formatMoment('soon')]).toEqual(['-', '-']);
});

it.each([
  ['wrong user name or password', 'Wrong user name or password.'],
  ['ghcr.io refuses the credentials', 'ghcr.io refuses the credentials.'],
  ['team/app:1.0 would go', 'team/app:1.0 would go.'],
  ['Done.', 'Done.'],
])('makes a sentence of %s', (message, sentence) => expect(formatSentence(message)).toBe(sentence));

test('shares of nothing are not known', () => {
  expect(shareOf(1, 4)).toBe(0.25);
  expect(shareOf(0, 0)).toBe(null);
});
