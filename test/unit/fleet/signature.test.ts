/** Guards src/fleet/signature.ts. */
import { describe, expect, it } from 'vitest';
import { RequestSignatures, SignedValues } from '../../../src/fleet/signature.ts';

const asker = 'aaaaaaaaaaaaaaaa';
const asked = 'bbbbbbbbbbbbbbbb';
const request = { method: 'GET', target: '/fleet/v1/blobs/x?repository=y', range: 'bytes=5-' };
const clock = { ms: 1_700_000_000_000 };
const now = () => clock.ms;

function pair(secret = 'the secret', other = secret) {
  return {
    from: new RequestSignatures({ secret, node: asker, now }),
    to: new RequestSignatures({ secret: other, node: asked, now }),
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

it('understands what earlier versions sign', () => {
  const mac = 'AL2vmof750FzmJVqXUiipOYjaC0GavairEw7d7vCsCU';
  const authorization = `Cistern-Fleet from=${asker}, time=1700000000000, nonce=${'A'.repeat(22)}, mac=${mac}`;
  const to = new RequestSignatures({ secret: 'the secret', node: asked, now: () => 1_700_000_000_000 });
  expect(to.verify(request, authorization)).toBe(asker);
});

describe('a signed value', () => {
  const values = new SignedValues('the secret');
  const purpose = 'tag:docker.io/library/alpine:3';

  it('is the MAC and the text', () => {
    expect(values.sign(purpose, 'a text')).toBe('VMhB4oJaV2r3Xn9qzcoVq14MBTSjk9-xd9qV3XhVYAY.a text');
  });

  it('holds for its text, its purpose and its fleet alone', () => {
    const signed = values.sign(purpose, 'a\n.text');
    expect(values.verify(purpose, signed)).toBe('a\n.text');
    expect(values.verify(`${purpose}a`, signed)).toBeUndefined();
    expect(values.verify(purpose, `${signed}s`)).toBeUndefined();
    expect(values.verify(purpose, signed.slice(1))).toBeUndefined();
    expect(values.verify(purpose, '')).toBeUndefined();
    expect(new SignedValues('another').verify(purpose, signed)).toBeUndefined();
  });
});
