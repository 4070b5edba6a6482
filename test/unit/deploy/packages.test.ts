/** What the packages have in common: time to drain, and configurations and commands that this version takes. */
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { loadConfig } from '../../../src/config/load.ts';
import { mirrorsAmong, readComposeFile } from '../../support/compose-file.ts';
import { tempDir } from '../../support/temp-dir.ts';

const root = join(import.meta.dirname, '../../..');
const read = (path: string) => readFileSync(join(root, path), 'utf8');

describe('time until SIGKILL is longer than http.drain', () => {
  const drainSeconds = async () => (await load({})).http.drainMs / 1000;

  test('in docker-compose.yml', async () => {
    const mirrors = mirrorsAmong(new Map(Object.entries(readComposeFile().services)));
    expect(mirrors.size).toBeGreaterThan(1);
    for (const [name, { stop_grace_period: period = '10s' }] of mirrors)
      expect(seconds(period), name).toBeGreaterThan(await drainSeconds());
  });

  test('in deploy/cistern.service', async () => {
    const [, time = ''] = /^TimeoutStopSec=(.+)$/m.exec(read('deploy/cistern.service')) ?? [];
    expect(seconds(time)).toBeGreaterThan(await drainSeconds());
  });

  test('in deploy/kubernetes.yaml', async () => {
    const pod = document('Deployment').spec.template.spec;
    expect(pod.terminationGracePeriodSeconds).toBeGreaterThan(await drainSeconds());
  });
});

test('the configuration in deploy/kubernetes.yaml is one, and its limit fits its volume', async () => {
  const path = join(await tempDir(), 'mirror.yml');
  await writeFile(path, document('ConfigMap').data['mirror.yml']);
  const config = await load({ file: path });
  expect([...config.upstreams.keys()]).toEqual(['docker.io', 'ghcr.io', 'quay.io', 'registry.k8s.io']);
  const [, size] = /^(\d+)Gi$/.exec(document('PersistentVolumeClaim').spec.resources.requests.storage) ?? [];
  expect(config.store.maxBytes).toBeLessThan(Number(size) * 2 ** 30);
});

test('the build is sent all that the Dockerfile copies from outside, and nothing else', () => {
  const copied = [...read('Dockerfile').matchAll(/^COPY (?!--from)(.+) \S+$/gm)].flatMap(([, sources = '']) =>
    sources.split(' '),
  );
  const sent = [...read('.dockerignore').matchAll(/^!(.+)$/gm)].map(([, name]) => name);
  expect(copied.sort()).toEqual(sent.sort());
});

async function load(options: { file?: string }) {
  return (await loadConfig({ ...options, env: {}, cwd: await tempDir() })).config;
}

/** `40s` or `40`. */
function seconds(text: string): number {
  return Number(/^(\d+)s?$/.exec(text)?.[1]);
}

function document(kind: string) {
  return parseAllDocuments(read('deploy/kubernetes.yaml'))
    .map(one => one.toJS())
    .find(one => one.kind === kind);
}
