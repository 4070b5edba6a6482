import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { editDistance, nearestWord } from '../../../src/config/suggestion.ts';

describe('edit distance', () => {
  it.each([
    ['listen', 'listen', 0],
    ['lisen', 'listen', 1],
    ['lsiten', 'listen', 1],
    ['kitten', 'sitting', 3],
    ['', 'abc', 3],
  ])('from %j to %j is %d', (from, to, distance) => {
    expect(editDistance(from, to)).toBe(distance);
  });

  it('is the same both ways, and nought only for equal words', () => {
    const short = fc.string({ maxLength: 12 });
    fc.assert(
      fc.property(short, short, (one, other) => {
        expect(editDistance(one, other)).toBe(editDistance(other, one));
        expect(editDistance(one, other) === 0).toBe(one === other);
      }),
    );
  });
});

describe('the nearest word', () => {
  const keys = ['path', 'max_size', 'min_free', 'low_watermark', 'ttl'];

  it.each([
    ['max_sice', 'max_size'],
    ['maxSize', 'max_size'],
    ['max-size', 'max_size'],
    ['lowwatermark', 'low_watermark'],
    ['ttll', 'ttl'],
  ])('to %j is %j', (word, nearest) => {
    expect(nearestWord(word, keys)).toBe(nearest);
  });

  it.each(['compression', 'x', 'log'])('to %j is none', word => {
    expect(nearestWord(word, keys)).toBeUndefined();
  });
});
