/** What a user sees of a push: a bar with all bytes on a terminal, a line for each blob elsewhere. */
import { PassThrough } from 'node:stream';
import { expect, test } from 'vitest';
import { PushError } from '../../../../src/cli/push/push-error.ts';
import { PushProgress } from '../../../../src/cli/push/push-progress.ts';
import { patternBlob } from '../../../support/content.ts';
import { buildImage } from '../../../support/images.ts';
import { withoutEscapes } from '../../../support/pseudo-terminal.ts';

const image = buildImage({ layers: [patternBlob('one', 1_000_000), patternBlob('two', 3_000_000)] });
const blobs = image.blobs.map(({ descriptor }) => descriptor);
const [config, one, two] = blobs;

function start(isTTY: boolean) {
  const stream = Object.assign(new PassThrough(), { isTTY, columns: 120 });
  const clock = { ms: 0 };
  const timers = { after: () => () => {} };
  const progress = new PushProgress({ blobs, stream, now: () => clock.ms, timers });
  return { progress, clock, text: () => withoutEscapes(String(stream.read() ?? '')) };
}

test('on a terminal: the bytes that go over the line, without those that are there; trouble stays to be read', () => {
  if (config === undefined || one === undefined || two === undefined) throw new Error('three blobs');
  const { progress, clock, text } = start(true);
  progress.blobDone(one, 'present');
  progress.blobDone(config, 'present');
  clock.ms = 1000;
  progress.blobAt(two.digest, 1_500_000);
  expect(text()).toMatch(/^push \[=+-+\] 50 %, 1\.4 MiB of 2\.9 MiB, .*2 of 3 blobs$/);
  progress.trouble(new PushError('registry.lan cannot be reached'));
  expect(text()).toMatch(/registry\.lan cannot be reached; trying again\npush \[=+-+\] 50 %/);
  progress.blobDone(two, 'pushed');
  progress.end();
  expect(text()).not.toContain('\n');
});

test('elsewhere: a line for each blob', () => {
  if (one === undefined || two === undefined) throw new Error('three blobs');
  const { progress, text } = start(false);
  progress.blobDone(one, 'present');
  progress.blobDone(two, 'pushed');
  progress.end();
  const name = (digest: string) => digest.slice(0, 'sha256:'.length + 12);
  expect(text()).toBe(
    `${name(one.digest)}: already there (977 KiB)\n${name(two.digest)}: pushed (2.9 MiB)\n`,
  );
});
