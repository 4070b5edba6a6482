import { expect, it } from 'vitest';
import { Signatures } from '../../../../src/fleet/peers/signature.ts';

const asker = 'aaaaaaaaaaaaaaaa';
const asked = 'bbbbbbbbbbbbbbbb';
const request = { method: 'GET', target: '/fleet/v1/blobs/x?repository=y', range: 'bytes=5-' };
const clock = { ms: 1_700_000_000_000 };
const now = () => clock.ms;

function pair(secret = 'the secret', other = secret) {
  return {
    from: new Signatures({ secret, node: asker, now }),
    to: new Signatures({ secret: other, node: asked, now }),
  };
}

it('names the node that asks, once', () => {
  const { from, to } = pair();
  const signature = from.sign(request, asked);
  expect(to.verify(request, signature)).toBe(asker);
  expect(to.verify(request, signature)).toBeUndefined();
  expect(to.verify(request, from.sign(request, asked))).toBe(asker);
});

it('holds for this request, this node and this secret alone', () => {
  const { from, to } = pair();
  const signature = from.sign(request, asked);
  for (const other of [
    { ...request, method: 'HEAD' },
    { ...request, target: `${request.target}&for=anybody` },
    { ...request, range: 'bytes=6-' },
    { ...request, range: undefined },
  ])
    expect(to.verify(other, signature)).toBeUndefined();
  expect(to.verify(request, from.sign(request, asker))).toBeUndefined();
  expect(pair('the secret', 'another').to.verify(request, signature)).toBeUndefined();
  expect(to.verify(request, signature.replace(asker, 'cccccccccccccccc'))).toBeUndefined();
  expect(to.verify(request, signature.replace('time=1', 'time=2'))).toBeUndefined();
  expect(to.verify(request, signature)).toBe(asker); // none of these used it up
});

it.each([undefined, '', 'Basic dTpw', 'Cistern-Fleet', 'Cistern-Fleet from=, time=, nonce=, mac='])(
  'is not %j',
  text => {
    expect(pair().to.verify(request, text)).toBeUndefined();
  },
);

it('is good for a minute of the other clock, before and after, and never again', () => {
  const { from, to } = pair();
  const [early, late, tooEarly, tooLate, again] = Array.from({ length: 5 }, () => from.sign(request, asked));
  clock.ms += 60_000;
  expect(to.verify(request, late)).toBe(asker);
  clock.ms -= 120_000;
  expect(to.verify(request, early)).toBe(asker);
  clock.ms -= 1;
  expect(to.verify(request, tooEarly)).toBeUndefined();
  clock.ms += 120_002;
  expect(to.verify(request, tooLate)).toBeUndefined();
  clock.ms -= 60_001;
  expect(to.verify(request, again)).toBe(asker);
  clock.ms += 60_000;
  expect(to.verify(request, again)).toBeUndefined();
});

it('does not come again at the very end of its time, when it came first at the very beginning', () => {
  const { from, to } = pair();
  const signature = from.sign(request, asked);
  clock.ms -= 60_000;
  expect(to.verify(request, signature)).toBe(asker);
  clock.ms += 120_000;
  expect(to.verify(request, signature)).toBeUndefined();
});

it('never holds the secret', () => {
  expect(pair('planted-secret').from.sign(request, asked)).not.toContain('planted');
});
