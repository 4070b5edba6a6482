/** Addresses and CIDR blocks, of rules and of trusted proxies. */
import { expect, test } from 'vitest';
import { AddressBlocks } from '../../../src/lib/address-blocks.ts';

test.each([
  [['10.0.0.0/8'], '10.1.2.3', true],
  [['10.0.0.0/8'], '11.1.2.3', false],
  [['10.0.0.0/8', '11.1.2.3'], '11.1.2.3', true],
  [['fd00::/8'], 'fd00::1', true],
  [['fd00::/8'], '10.1.2.3', false],
  [['0.0.0.0/0'], 'fd00::1', false],
  [['0.0.0.0/0'], 'mirror.lan', false],
  [['0.0.0.0/0'], '', false],
  [[], '10.1.2.3', false],
])('of %j, %s is one: %j', (entries, address, expected) => {
  expect(new AddressBlocks(entries).has(address)).toBe(expected);
});

test.each(['mirror.lan', '10.0.0.0/33', '', '10.0.0.0/x'])('%j is no entry', entry => {
  expect(() => new AddressBlocks([entry])).toThrow(
    expect.objectContaining({
      code: expect.stringMatching(/^ERR_(?:INVALID_ADDRESS|OUT_OF_RANGE|INVALID_ARG)/),
    }),
  );
});
