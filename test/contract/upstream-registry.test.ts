/** The client of one upstream does what every registry reader must do. */
import { onTestFinished } from 'vitest';
import { UpstreamRegistry } from '../../src/upstream/upstream-registry.ts';
import { Recorder } from '../support/recorder.ts';
import { describeRegistryReader } from './registry-reader.ts';

describeRegistryReader('UpstreamRegistry', async upstream => {
  const { observer, logger } = new Recorder();
  const registry = new UpstreamRegistry({
    key: 'docker.io',
    url: new URL(upstream.url),
    insecure: false,
    ip: 'any',
    tokenHosts: [],
    maxTransfers: 64,
    timeouts: { connectMs: 3000, firstByteMs: 8000 },
    userAgent: 'cistern/test',
    observer,
    logger,
    now: Date.now,
  });
  onTestFinished(() => registry.close());
  return registry;
});
