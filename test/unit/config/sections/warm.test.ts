/** The entries of `warm`: what they take, and what stops the start with a sentence. */
import { afterEach, beforeEach, expect, test } from 'vitest';
import { ConfigFolder } from '../config-folder.ts';

let folder: ConfigFolder;

beforeEach(async () => {
  folder = await ConfigFolder.create();
});

afterEach(async () => {
  await folder.remove();
});

test('an entry has images and a time; platforms and window may be left out', async () => {
  const { config } = await folder.load(`warm:
  - { images: [alpine, "ghcr.io/owner/app:v1"], platforms: [linux/arm64, all], every: 1h, window: "22:00-06:00" }
  - images: ["registry.lan:5000/app@sha256:${'a'.repeat(64)}"]
    at: 03:30
`);
  expect(config.warm).toEqual([
    {
      images: ['alpine', 'ghcr.io/owner/app:v1'],
      platforms: ['linux/arm64', 'all'],
      everyMs: 3_600_000,
      window: { from: 1320, to: 360 },
    },
    { images: [`registry.lan:5000/app@sha256:${'a'.repeat(64)}`], platforms: [], at: 210 },
  ]);
  expect((await folder.load('{}')).config.warm).toEqual([]);
});

test.each([
  ['{ images: [alpine] }', 'needs every or at'],
  ['{ images: [alpine], every: 1h, at: "03:00" }', 'takes every or at, not both'],
  ['{ images: [], every: 1h }', 'expected at least one entry'],
  ['{ images: [Alpine], every: 1h }', 'expected an image such as alpine:3.20'],
  ['{ images: ["alpine:a b"], every: 1h }', 'expected an image such as alpine:3.20'],
  ['{ images: [alpine], every: 30s }', 'expected at least 1m'],
  ['{ images: [alpine], at: "24:00" }', 'expected a local time such as "03:00"'],
  ['{ images: [alpine], at: 3 }', 'expected a local time such as "03:00"'],
  ['{ images: [alpine], every: 1h, window: "02:00" }', 'expected two local times such as "22:00-06:00"'],
  ['{ images: [alpine], every: 1h, window: "02:00-02:00" }', 'expected two local times'],
  ['{ images: [alpine], at: "12:00", window: "22:00-06:00" }', 'the time of at is not within window'],
  ['{ images: [alpine], every: 1h, platforms: [amd64] }', 'expected a platform such as linux/arm64, or all'],
])('%s is refused: %s', async (entry, message) => {
  const [problem, ...more] = await folder.problems(`warm: [${entry}]`);
  expect(problem).toMatch(/^mirror\.yml:1:\d+: warm\[0\]/);
  expect(problem).toContain(message);
  expect(more).toEqual([]);
});
