/** How far away an upstream is. */
import { expect, test } from 'vitest';
import { RoundTrip } from '../../../../src/upstream/transport/round-trip.ts';

const far = new URL('https://registry.example/v2/');

function measured(...samples: readonly (readonly [url: URL, ms: number])[]): number | undefined {
  const roundTrip = new RoundTrip();
  for (const [url, ms] of samples) roundTrip.add(url, ms);
  return roundTrip.shortestMs;
}

test('it is the shortest time of the last answers, and not known after one', () => {
  expect(measured([far, 20])).toBeUndefined();
  expect(measured([far, 90], [far, 20], [far, 40])).toBe(20);
  const others = Array.from({ length: 8 }, () => [far, 30] as const);
  expect(measured([far, 3], ...others)).toBe(30);
});

test.each(['http://127.0.0.1:5000/v2/', 'http://localhost:5000/', 'http://[::1]:5000/'])(
  '%s is no distance, however long it takes to answer',
  url => {
    expect(measured([far, 20], [new URL(url), 500])).toBe(0);
  },
);
