import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { z } from 'zod';
import { ConfigError } from '../../../src/config/problem.ts';
import { ConfigFolder } from './config-folder.ts';

const shipped = await readFile(new URL('../../../mirror.yml', import.meta.url), 'utf8');
const uncommented = shipped.replaceAll(/^( *)#(?=\S)/gm, '$1');

const ms = z.int().min(0);
const amount = z.number().min(0).or(z.literal(Number.POSITIVE_INFINITY));
const address = z.strictObject({ host: z.string().min(1), port: z.int().min(0).max(65_535) });
const texts = z.array(z.string().min(1));
/** The kind of every value that doesn't depend on an optional section. */
const soundConfig = z.object({
  source: z.string(),
  warnings: texts,
  config: z.object({
    http: z.object({ listen: z.array(address).min(1), names: texts, trustedProxies: texts, drainMs: ms }),
    store: z.object({
      path: z.string().startsWith('/'),
      maxBytes: amount,
      minFreeBytes: amount.optional(),
      lowWatermark: z.number().gt(0).max(1),
      partialTtlMs: ms,
      verifyAfterMs: ms,
    }),
    lru: z.object({ required: z.boolean() }),
    upstreams: z
      .map(
        z.string().regex(/[.:]|^localhost$/),
        z.object({
          key: z.string(),
          url: z.instanceof(URL),
          fallbacks: z.array(z.instanceof(URL)),
          share: z.enum(['public', 'all']),
          insecure: z.boolean(),
          ip: z.union([z.literal('any'), z.literal(4), z.literal(6)]),
          tokenHosts: texts,
          aliases: texts,
          allow: texts,
          deny: texts,
          finish: z.enum(['always', 'never']),
          maxTransfers: z.int().min(1),
          timeouts: z.strictObject({
            connectMs: ms,
            firstByteMs: ms,
            stallMs: ms,
            giveUpMs: ms,
            minRate: ms,
          }),
        }),
      )
      .refine(upstreams => upstreams.size > 0),
    defaultUpstream: z.string(),
    offline: z.boolean(),
    tags: z.strictObject({
      patterns: z.array(
        z.strictObject({
          repositories: z.array(z.string()),
          tags: z.array(z.string()),
          ttlMs: z.number(),
        }),
      ),
      ttlMs: ms,
      checkTimeoutMs: ms,
      staleIfErrorMs: amount,
      on404: z.enum(['keep', 'honour']),
      negativeTtlMs: ms,
    }),
    access: z.object({ rules: z.array(z.unknown()).optional() }),
    metrics: z.object({ path: z.string().startsWith('/'), listen: address.optional() }),
    log: z.strictObject({
      level: z.enum(['debug', 'info', 'warn', 'error']),
      format: z.enum(['auto', 'json', 'text']),
      access: z.boolean(),
    }),
  }),
});

let folder: ConfigFolder;

beforeEach(async () => {
  folder = await ConfigFolder.create();
});

afterEach(async () => {
  await folder.remove();
});

/** Loads. A configuration must be sound, and every problem must have its place. */
async function expectSoundness(text: string): Promise<void> {
  const result = await folder.load(text).catch((error: unknown) => error);
  if (!(result instanceof Error)) expectSoundConfig(result);
  else if (result instanceof ConfigError) expectPlaces(result, text.split('\n').length);
  else throw result;
}

function expectPlaces({ problems }: ConfigError, lineCount: number): void {
  expect(problems.length).toBeGreaterThan(0);
  for (const { line, column, message } of problems) {
    expect(line).toBeGreaterThan(0);
    expect(line).toBeLessThanOrEqual(lineCount);
    expect(column).toBeGreaterThan(0);
    expect(message).not.toBe('');
  }
}

/** What holds for every configuration, whatever the text was. */
function expectSoundConfig(loaded: unknown): void {
  const { config, warnings, source } = soundConfig.parse(loaded);
  expect(source).toBe(join(folder.path, 'mirror.yml'));
  expect(warnings.filter(warning => /undefined|\[object/.test(warning))).toEqual([]);
  expect([...config.upstreams.keys()]).toContain(config.defaultUpstream);
  for (const [key, upstream] of config.upstreams) expect(upstream.key).toBe(key);
}

it('any text is a configuration or a list of problems with their places', async () => {
  const piece = fc.constantFrom(
    ...[
      'http',
      'upstreams',
      'docker.io',
      'listen',
      'aliases',
      'tags',
      'tls',
      'timeouts',
      '<<',
      '?',
      '-',
      ':',
      ': ',
      '\n',
      '\n  ',
    ],
    ...[
      ' ',
      '[',
      ']',
      '{',
      '}',
      ',',
      '&a',
      '*a',
      '!t',
      '"',
      "'",
      '|',
      '#',
      '---',
      '0',
      '5s',
      'null',
      'true',
      '\t',
      '__proto__',
      'ü',
      '\r\n',
    ],
  );
  const text = fc.array(piece, { maxLength: 40 }).map(pieces => pieces.join(''));
  await fc.assert(fc.asyncProperty(text, expectSoundness), { numRuns: 300, examples: [['']] });
});

it('so is the reference with a hole in it', async () => {
  const hole = fc.tuple(
    fc.nat(uncommented.length),
    fc.integer({ min: 1, max: 60 }),
    fc.constantFrom('', ' ', '\n', ': ', '[', '*a'),
  );
  const text = hole.map(
    ([at, length, filler]) => uncommented.slice(0, at) + filler + uncommented.slice(at + length),
  );
  await fc.assert(fc.asyncProperty(text, expectSoundness), { numRuns: 60, examples: [[shipped]] });
});
