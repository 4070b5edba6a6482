import { IncomingMessage } from 'node:http';
import { Socket } from 'node:net';
import { describe, expect, it } from 'vitest';
import { clientAddressBehind } from '../../../src/http/exchange.ts';

function requestFrom(remoteAddress: string, forwarded?: string): IncomingMessage {
  const socket = new Socket();
  Object.defineProperty(socket, 'remoteAddress', { value: remoteAddress });
  const request = new IncomingMessage(socket);
  if (forwarded !== undefined) request.headers['x-forwarded-for'] = forwarded;
  return request;
}

describe('client address', () => {
  it.each([
    [[], '::ffff:192.0.2.1', '1.1.1.1', '192.0.2.1'],
    [['192.0.2.1'], '::ffff:192.0.2.1', '1.1.1.1', '1.1.1.1'],
    [['192.0.2.1'], '192.0.2.1', undefined, '192.0.2.1'],
    [['192.0.2.1'], '192.0.2.1', '9.9.9.9, 1.1.1.1:4711', '1.1.1.1'],
    [['10.0.0.0/8'], '10.1.1.1', '9.9.9.9, 1.1.1.1, 10.2.2.2', '1.1.1.1'],
    [['10.0.0.0/8'], '10.1.1.1', '10.3.3.3, 10.2.2.2', '10.3.3.3'],
    [['10.0.0.0/8'], '10.1.1.1', '9.9.9.9, unknown', '10.1.1.1'],
    [['10.0.0.0/8'], '10.1.1.1', '', '10.1.1.1'],
    [['fd00::/8'], 'fd00::1', '[2001:db8::1]:443', '2001:db8::1'],
  ])('with %j trusted, %s saying %s is %s', (trusted, peer, forwarded, expected) => {
    expect(clientAddressBehind(trusted)(requestFrom(peer, forwarded))).toBe(expected);
  });

  it('refuses what is no address', () => {
    expect(() => clientAddressBehind(['proxy.lan'])).toThrow('Invalid socket address');
  });
});
