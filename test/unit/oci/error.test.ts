import { describe, expect, test } from 'vitest';
import { excerpt, parseErrorBody, RegistryError } from '../../../src/oci/error.ts';

describe('RegistryError', () => {
  test('has the status and the sentence of its code', () => {
    const error = new RegistryError('MANIFEST_UNKNOWN');
    expect([error.status, error.message, error.name]).toEqual([
      404,
      'manifest unknown to registry',
      'RegistryError',
    ]);
  });

  test('becomes the body of the specification', () => {
    const error = new RegistryError('UNAVAILABLE', {
      message: 'm',
      detail: { upstream: 'u' },
      status: 404,
      cause: 1,
    });
    expect(error).toMatchObject({ status: 404, cause: 1 });
    expect(JSON.parse(JSON.stringify(error))).toEqual({
      errors: [{ code: 'UNAVAILABLE', message: 'm', detail: { upstream: 'u' } }],
    });
    expect(JSON.stringify(new RegistryError('DENIED'))).not.toContain('detail');
  });

  test('foreign text is quoted, escaped and cut in messages', () => {
    expect(excerpt('a"\n\0')).toBe('"a\\"\\n\\u0000"');
    expect(excerpt('a'.repeat(1000))).toBe(`"${'a'.repeat(160)}"`);
  });
});

describe('error body of an upstream', () => {
  function parse(value: unknown): ReturnType<typeof parseErrorBody> {
    return parseErrorBody(Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)));
  }

  test('its first error is taken', () => {
    const errors = [{ code: 'DENIED', message: 'no', detail: {} }, { code: 'UNKNOWN' }];
    expect(parse({ errors })).toEqual({ code: 'DENIED', message: 'no' });
    expect(parse({ errors: [{ code: 'DENIED' }] })).toEqual({ code: 'DENIED', message: '' });
  });

  test('its texts become one line of at most 300 characters', () => {
    expect(parse({ errors: [{ code: 'A\nB', message: `${'x\r\n'.repeat(200)}` }] })).toEqual({
      code: 'A B',
      message: 'x '.repeat(100),
    });
  });

  test.each([
    '',
    '<html>',
    'toomanyrequests: slow down',
    null,
    1,
    [],
    {},
    { errors: {} },
    { errors: [] },
    { errors: [null] },
    { errors: ['x'] },
    { errors: [{ code: 1 }] },
  ])('%j tells nothing', value => {
    expect(parse(value)).toBeUndefined();
  });
});
