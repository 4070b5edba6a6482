import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { redact, redactFields } from '../../src/log-redaction.ts';

/** Letters that none of the surrounding text has, so that "is gone" means what it says. */
const secret = fc.stringMatching(/^[QXZJ7][QXZJ7+/_.~-]{7,40}$/);

describe('redact', () => {
  it.each([
    [
      'GET https://cdn.example/blob?X-Amz-Signature=abc&X-Amz-Date=1',
      'GET https://cdn.example/blob?X-Amz-Signature=***&X-Amz-Date=***',
    ],
    ['/v2/a/b/tags/list?ns=ghcr.io&n=10&last=a', '/v2/a/b/tags/list?ns=ghcr.io&n=10&last=a'],
    [
      'https://auth.example/token?service=reg&scope=repository:a:pull',
      'https://auth.example/token?service=reg&scope=repository:a:pull',
    ],
    ['https://user:pass@registry.lan/v2/', 'https://***@registry.lan/v2/'],
    ['redis://:p@ss/w@host:6379', 'redis://***@ss/w@host:6379'],
    ['Authorization: Basic dTpw', 'Authorization: ***'],
    ['{"authorization":"Bearer abc.def"}', '{"authorization":"***"}'],
    ['sent Bearer abcdef to it', 'sent Bearer *** to it'],
    [
      'Bearer realm="https://auth.example/token",service="x"',
      'Bearer realm="https://auth.example/token",service="x"',
    ],
    ['{"token":"abc","expires_in":300}', '{"token":"***","expires_in":300}'],
    ['{"access_token": "a\\"b", "x": 1}', '{"access_token": "***", "x": 1}'],
    ['password=hunter2, user=u', 'password=***, user=u'],
    ['got eyJhbGciOi.eyJzdWIi.c2ln here', 'got *** here'],
    ['sha256:abc of docker.io/library/alpine', 'sha256:abc of docker.io/library/alpine'],
    ['no route to host 10.0.0.1:443', 'no route to host 10.0.0.1:443'],
  ])('%s', (text, expected) => {
    expect(redact(text)).toBe(expected);
  });

  it.each([
    [
      'a query value',
      (value: string) => `failed: https://h.example/p?sig=${encodeURIComponent(value)}&ns=a: timeout`,
    ],
    [
      'a password in a URL',
      (value: string) => `proxy http://u:${encodeURIComponent(value)}@h.example:3128/ refused`,
    ],
    ['a user in a URL', (value: string) => `http://${encodeURIComponent(value)}@h.example/`],
    ['a bearer token', (value: string) => `header was bearer ${value} here`],
    ['a basic credential', (value: string) => `Proxy-Authorization: Basic ${value}`],
    ['a JSON token', (value: string) => JSON.stringify({ refresh_token: value, n: 1 })],
    ['nested JSON', (value: string) => JSON.stringify(JSON.stringify({ token: value }))],
    ['a pair', (value: string) => `upstream_password: ${value}`],
    ['a cookie', (value: string) => `set-cookie: sid=${value}; Path=/`],
  ])('hides %s wherever it stands', (_, write) => {
    fc.assert(
      fc.property(
        secret,
        fc.constantFrom('', 'before ', 'line\n'),
        fc.constantFrom('', ' after', '\nline'),
        (value, before, after) => {
          const result = redact(before + write(value) + after);
          expect(result).not.toContain(value);
          expect(result).not.toContain(encodeURIComponent(value));
          expect(result.startsWith(before)).toBe(true);
        },
      ),
    );
  });

  it('changes nothing the second time', () => {
    fc.assert(
      fc.property(secret, value => {
        const once = redact(`https://u:${value}@h/p?a=${value} Authorization: Bearer ${value}`);
        expect(redact(once)).toBe(once);
      }),
    );
  });

  it('is quick on long text made to be slow', () => {
    for (const text of [
      '?a'.repeat(50_000),
      '"token":"\\'.repeat(20_000),
      'http://'.repeat(20_000),
      'a@'.repeat(50_000),
      `token${'a-'.repeat(50_000)}`,
      'a.'.repeat(50_000).concat('@'),
      '-eyJ'.repeat(50_000),
      'bearer '.repeat(20_000),
      'cookie='.repeat(20_000),
    ]) {
      expect(redact(text).length).toBeGreaterThan(0);
    }
  });
});

describe('redactFields', () => {
  it('reaches every depth, and hides fields that are secret by their name', () => {
    const fields = {
      url: new URL('https://u:p@h.example/x?sig=1'),
      password: 'plain',
      nested: [{ token: 'abc', list: ['Bearer abcdef'] }],
      headers: new Map([['authorization', 'Basic dTpw']]),
      count: 3,
      nothing: undefined,
      bytes: Buffer.alloc(4),
    };
    expect(redactFields(fields)).toEqual({
      url: 'https://***@h.example/x?sig=***',
      password: '***',
      nested: [{ token: '***', list: ['Bearer ***'] }],
      headers: { authorization: '***' },
      count: 3,
      nothing: undefined,
      bytes: '[4 bytes]',
    });
  });

  it('keeps what an error says, its cause and its code, without the secrets', () => {
    const cause = Object.assign(new Error('connect ECONNREFUSED https://h/?sig=abc'), {
      code: 'ECONNREFUSED',
    });
    const { error } = redactFields({ error: new Error('asked http://u:p@h/', { cause }) });
    expect(error).toMatchObject({
      type: 'Error',
      message: 'asked http://***@h/',
      cause: { message: 'connect ECONNREFUSED https://h/?sig=***', code: 'ECONNREFUSED' },
    });
    expect(JSON.stringify(error)).not.toMatch(/sig=abc|u:p/);
  });

  it('ends at a circle', () => {
    const circle = {};
    Object.assign(circle, { self: circle });
    expect(JSON.stringify(redactFields(circle))).toContain('[deep]');
  });
});
