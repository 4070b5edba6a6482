import { expect, test } from 'vitest';
import { readExpression } from '../../support/promql.ts';

const read = (expression: string) => {
  const { metrics, groupings } = readExpression(expression);
  return { metrics: metrics.map(({ name, matchers }) => [name, Object.fromEntries(matchers)]), groupings };
};

test('finds metrics, matchers and groupings, and takes no function or duration for one', () => {
  const quotient =
    'sum by (le, kind) (rate(a_total{kind=~"x|y", up!="}"}[5m] offset 15m)) / on (kind) b > bool 0.5';
  expect(read(quotient)).toEqual({
    metrics: [
      ['a_total', { kind: 'x|y', up: '}' }],
      ['b', {}],
    ],
    groupings: ['le', 'kind', 'kind'],
  });
  expect(read('sum(a) without (instance) unless clamp_min(b:rate5m{}[$__range], 1e3)')).toEqual({
    metrics: [
      ['a', {}],
      ['b:rate5m', {}],
    ],
    groupings: ['instance'],
  });
});
