import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createLogger } from '../../src/log.ts';

function collect(format: 'json' | 'text', level: 'debug' | 'info' | 'warn' = 'info') {
  const lines: string[] = [];
  return { lines, logger: createLogger({ level, format, write: line => lines.push(line) }) };
}

describe('json', () => {
  it('writes one object per line with time, level and message', () => {
    const { lines, logger } = collect('json');
    logger.info('listening', { url: 'http://127.0.0.1:5000', pid: 7 });
    expect(lines).toHaveLength(1);
    expect(lines[0]?.endsWith('\n')).toBe(true);
    expect(JSON.parse(lines[0] ?? '')).toEqual({
      level: 'info',
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
      msg: 'listening',
      url: 'http://127.0.0.1:5000',
      pid: 7,
    });
  });

  it('writes flat lines by hand as pino writes them, whatever they hold', () => {
    const name = fc.constantFrom('path', 'status', 'token', 'userAgent', 'level', 'a b', 'é', 'time', 'msg');
    const text = fc.oneof(fc.string(), fc.string({ unit: 'binary' }), fc.constant('/v2/?sig=abc'));
    const value = fc.oneof(text, fc.double(), fc.integer(), fc.boolean(), fc.constant(undefined));
    fc.assert(
      fc.property(fc.dictionary(name, value), text, (fields, message) => {
        const { lines, logger } = collect('json');
        logger.info(message, fields);
        logger.child({}).info(message, fields); // by pino
        const [byHand, byPino] = lines.map(line => line.replace(/"time":"[^"]*Z"/, '"time":"now"'));
        expect(byHand).toBe(byPino);
      }),
    );
  });

  it('leaves out what is below the level', () => {
    const { lines, logger } = collect('json', 'warn');
    logger.debug('a');
    logger.info('b');
    logger.warn('c');
    logger.error('d');
    expect(lines.map(line => JSON.parse(line).msg)).toEqual(['c', 'd']);
  });

  it('redacts messages, fields and the fields of children', () => {
    const { lines, logger } = collect('json');
    const child = logger.child({ room: 'upstream', url: 'https://u:p@h/' });
    child.error('GET https://h/?sig=abc failed', { error: new Error('Bearer abcdef') });
    expect(lines.join('')).not.toMatch(/u:p|sig=abc|abcdef/);
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({ room: 'upstream', url: 'https://***@h/' });
  });
});

describe('text', () => {
  it('writes a line for people', () => {
    const { lines, logger } = collect('text');
    logger.warn('upstream is slow', { upstream: 'docker.io', ms: 12.5, reason: 'no answer', list: [1] });
    expect(lines[0]).toMatch(
      /^\d{4}-\d\d-\d\dT[\d:.]+Z WARN {2}upstream is slow upstream=docker\.io ms=12\.5 reason="no answer" list=\[1\]\n$/,
    );
  });

  it('is one physical line whatever the values hold, and shows no control characters', () => {
    const { lines, logger } = collect('text');
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.string({ unit: 'binary' }), (message, value) => {
        lines.length = 0;
        logger.info(message, { userAgent: value });
        expect(lines).toHaveLength(1);
        expect(lines[0]?.slice(0, -1)).not.toMatch(/[\p{Cc}\u2028\u2029]/u);
      }),
    );
  });
});
