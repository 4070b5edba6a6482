/** The room against the fault-injecting registry that the integration tests use: the usual ways of an upstream, whole. */
import { expect, test } from 'vitest';
import { buildImage } from '../../support/images.ts';
import { blobLine, manifestLine } from '../../support/request-log.ts';
import { startFakeUpstream } from '../../support/upstream.ts';
import { alpine, collect, connect, failureOf, latest, never, read } from './rig.ts';

test('a pull through tokens of another host, redirects and TLS', async () => {
  const upstream = await startFakeUpstream({
    tls: true,
    redirect: true,
    auth: { kind: 'token', server: 'other' },
  });
  const image = buildImage({ layers: ['layer a'] });
  const digest = upstream.put('library/alpine', image, 'latest');
  const { registry } = connect(upstream.url, { ca: upstream.caPem });
  expect((await registry.resolve(alpine, latest, read)).descriptor.digest).toBe(digest);
  const { bytes } = await registry.manifest(alpine, digest, read);
  const [layer] = JSON.parse(bytes.toString()).layers;
  expect(await registry.stat(alpine, layer.digest, read)).toMatchObject({ size: layer.size });
  const source = registry.blobSource(alpine, layer.digest);
  const whole = await collect((await source.open(0, { signal: never })).stream);
  expect(whole).toHaveLength(layer.size);
  expect(await collect((await source.open(5, { signal: never })).stream)).toEqual(whole.subarray(5));
  expect(upstream.lines()).toEqual([
    manifestLine('latest', 'HEAD'),
    'token GET /token',
    manifestLine('latest', 'HEAD'),
    manifestLine(digest),
    blobLine(layer.digest, undefined, 'HEAD'),
    `storage ${blobLine(layer.digest, undefined, 'HEAD')}`,
    blobLine(layer.digest),
    `storage ${blobLine(layer.digest)}`,
    blobLine(layer.digest, 'bytes=5-'),
    `storage ${blobLine(layer.digest, 'bytes=5-')}`,
  ]);
});

test('an upstream that is frozen and thawed is found away, and found back', async () => {
  const upstream = await startFakeUpstream();
  upstream.put('library/alpine', buildImage({ layers: ['layer a'] }), 'latest');
  const { registry, clock, recorder } = connect(upstream.url);
  await registry.resolve(alpine, latest, read);
  upstream.freeze();
  const asked = failureOf(registry.resolve(alpine, latest, read));
  await clock.pass(8000);
  expect(await asked).toMatchObject({ failure: 'timeout' });
  await clock.pass(8000); // the probe at once
  upstream.thaw();
  await clock.pass(1000);
  await recorder.until('breakerOpen', 2);
  clock.advance(10_000);
  await registry.resolve(alpine, latest, read);
  expect(recorder.of('upstreamUp')).toEqual([
    'upstreamUp up true',
    'upstreamUp up false',
    'upstreamUp up true',
  ]);
});
