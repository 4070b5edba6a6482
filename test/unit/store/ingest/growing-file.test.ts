/** Segments against the simplest thing that can say the same: a set of the offsets that are held. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type Segment, Segments } from '../../../../src/store/ingest/journal.ts';

const span = 40;
const offsets = Array.from({ length: span }, (_, at) => at);
const offset = fc.integer({ min: 0, max: span });
const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('add' as const), start: offset, end: offset }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('truncate' as const), start: offset, end: offset }) },
);

/** One flag per byte. */
class Model {
  readonly held = new Array<boolean>(span + 1).fill(false);

  apply({ kind, start, end }: { kind: 'add' | 'truncate'; start: number; end: number }): void {
    if (kind === 'add') this.held.fill(true, start, Math.max(start, end));
    else this.held.fill(false, start);
  }

  get list(): Segment[] {
    const list: Segment[] = [];
    for (let at = 0; at < span; at += 1) {
      if (!this.held[at]) continue;
      const start = at;
      while (this.held[at]) at += 1;
      list.push([start, at]);
    }
    return list;
  }

  endFrom(from: number): number {
    let at = from;
    while (this.held[at]) at += 1;
    return at;
  }
}

test('any sequence of adds and truncations holds exactly the bytes that a naive model holds', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 20 }), steps => {
      const segments = new Segments();
      const model = new Model();
      for (const one of steps) {
        if (one.kind === 'add') segments.add(one.start, one.end);
        else segments.truncate(one.start);
        model.apply(one);
        expect(segments.toJSON()).toEqual(model.list);
        expect(segments.bytes).toBe(model.held.filter(Boolean).length);
        const gaps = offsets.map(at => {
          const start = model.endFrom(at);
          return { start, end: model.list.find(segment => segment[0] > start)?.[0] };
        });
        expect(offsets.map(at => segments.endFrom(at))).toEqual(gaps.map(({ start }) => start));
        expect(offsets.map(at => segments.nextGap(at))).toEqual(gaps);
      }
    }),
  );
});

test('what was written down is read back as the same segments', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 20 }), steps => {
      const segments = new Segments();
      for (const { start, end } of steps) segments.add(start, end);
      const read = new Segments(JSON.parse(JSON.stringify(segments)));
      expect(read.toJSON()).toEqual(segments.toJSON());
    }),
  );
});

test.each<[string, Segment[]]>([
  [
    'overlap',
    [
      [0, 10],
      [5, 20],
    ],
  ],
  [
    'touch, so that they should have been one',
    [
      [0, 10],
      [10, 20],
    ],
  ],
  [
    'are not in order',
    [
      [10, 20],
      [0, 5],
    ],
  ],
  ['are empty', [[5, 5]]],
  ['run backwards', [[5, 3]]],
  ['begin before the file', [[-1, 5]]],
  ['are no whole numbers', [[0, 1.5]]],
  ['are beyond what a number can hold exactly', [[0, 2 ** 53]]],
])('segments that %s are refused', (_why, list) => {
  expect(() => new Segments(list)).toThrow(RangeError);
});

test('the list given out is a copy: the journal of a moment does not change afterwards', () => {
  const given: Segment[] = [[0, 10]];
  const segments = new Segments(given);
  const before = segments.toJSON();
  segments.add(10, 20);
  expect(before).toEqual([[0, 10]]);
  expect(given).toEqual([[0, 10]]);
  expect(segments.toJSON()).toEqual([[0, 20]]);
});
