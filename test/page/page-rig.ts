/**
 * A mirror with content for the page: mirrored images that are whole and in part, a hosted one with a history, signatures. alice administers
 * all, bob may pull, everybody else pulls what is mirrored; passwords are `NAME's`.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { expect } from 'vitest';
import { get } from '../support/client.ts';
import { bytesBlob, patternBlob } from '../support/content.ts';
import { type BuiltImage, buildArtifact, buildImage, buildIndex } from '../support/images.ts';
import { htpasswdLine } from '../support/login-rig.ts';
import { startTestMirror, type TestMirror } from '../support/mirror.ts';
import { tempDir } from '../support/temp-dir.ts';
import { finish, send, startUpload } from '../support/upload-client.ts';
import { type FakeUpstream, startFakeUpstream } from '../support/upstream.ts';
import { basic } from '../support/users.ts';

export interface PageRig {
  readonly mirror: TestMirror;
  readonly upstream: FakeUpstream;
}

const created = '2026-10-01T08:00:00Z';

/** With a config and a history as builders write them. */
export const alpine = buildImage({
  layers: [patternBlob('alpine', 3_000_000)],
  config: bytesBlob(
    JSON.stringify({
      os: 'linux',
      architecture: 'amd64',
      rootfs: { type: 'layers', diff_ids: [] },
      created,
      config: {
        Env: ['PATH=/usr/local/bin:/usr/bin:/bin', 'LANG=C.UTF-8'],
        Cmd: ['/bin/sh'],
        ExposedPorts: { '8080/tcp': {} },
        Labels: { 'org.opencontainers.image.title': 'Alpine' },
      },
      history: [
        { created, created_by: 'ADD alpine-minirootfs.tar.gz / # buildkit' },
        { created, created_by: 'CMD ["/bin/sh"]', empty_layer: true },
      ],
    }),
  ),
});
const attestation = buildImage({
  layers: ['in-toto'],
  platform: { os: 'unknown', architecture: 'unknown' },
});
const arm = buildImage({
  layers: [patternBlob('alpine arm', 2_900_000)],
  platform: { os: 'linux', architecture: 'arm64' },
});
/** As BuildKit lists it. */
const listedAttestation = {
  ...attestation,
  descriptor: {
    ...attestation.descriptor,
    annotations: {
      'vnd.docker.reference.type': 'attestation-manifest',
      'vnd.docker.reference.digest': alpine.digest,
    },
  },
};
export const alpineIndex = buildIndex({
  children: [
    { image: alpine, platform: { os: 'linux', architecture: 'amd64' } },
    { image: arm, platform: { os: 'linux', architecture: 'arm64' } },
    { image: listedAttestation, platform: { os: 'unknown', architecture: 'unknown' } },
  ],
});
export const grafana = buildImage({ layers: [patternBlob('grafana', 900_000)] });
/** Its manifest is pulled, and no blob of it. */
export const lacking = buildImage({ layers: [patternBlob('lacking', 700_000)] });
export const first = buildImage({ layers: [patternBlob('app 1', 400_000)] });
export const second = buildImage({ layers: [patternBlob('app 2', 500_000)] });
const signature = buildArtifact({
  subject: second,
  artifactType: 'application/vnd.dev.cosign.artifact.sig.v1+json',
});

/** `config`: sections of mirror.yml. */
export async function startPageRig(config: Readonly<Record<string, unknown>> = {}): Promise<PageRig> {
  const htpasswd = join(await tempDir(), 'htpasswd');
  await writeFile(htpasswd, ['alice', 'bob'].map(name => htpasswdLine(name)).join(''));
  const upstream = await startFakeUpstream();
  upstream.put('library/alpine', alpineIndex, '3.20');
  upstream.put('grafana/grafana', grafana, '11.2.0');
  upstream.put('library/lacking', lacking, '1.0');
  const mirror = await startTestMirror({
    upstream,
    config: {
      hosted: { repositories: ['team/**'] },
      access: {
        htpasswd,
        rules: [
          { repositories: ['**'], users: ['alice'], actions: ['pull', 'push', 'delete', 'admin'] },
          { repositories: ['docker.io/**'], users: ['anonymous', '*'], actions: ['pull'] },
          { repositories: ['team/**'], users: ['bob'], actions: ['pull'] },
        ],
      },
      ...config,
    },
  });
  await mirror.settled();
  return { mirror, upstream };
}

/** Brings all the content in. */
export async function fill({ mirror }: PageRig): Promise<void> {
  await pullAll(mirror.url, 'library/alpine', '3.20', alpineIndex, [alpine, attestation]);
  await pullAll(mirror.url, 'grafana/grafana', '11.2.0', grafana, [grafana]);
  expect((await get(mirror.url, '/v2/library/lacking/manifests/1.0')).status).toBe(200);
  await push(mirror.url, 'team/app', first, '1.0');
  await push(mirror.url, 'team/app', second, '1.0');
  await push(mirror.url, 'team/app', signature, undefined);
}

/** Of an index: what is named of its children. */
async function pullAll(
  url: string,
  name: string,
  tag: string,
  image: BuiltImage,
  parts: readonly BuiltImage[],
): Promise<void> {
  expect((await get(url, `/v2/${name}/manifests/${tag}`)).status).toBe(200);
  for (const part of parts) {
    if (part.digest !== image.digest)
      expect((await get(url, `/v2/${name}/manifests/${part.digest}`)).status).toBe(200);
    for (const { descriptor } of part.blobs)
      expect((await get(url, `/v2/${name}/blobs/${descriptor.digest}`, { keep: false })).status).toBe(200);
  }
}

export async function push(
  url: string,
  name: string,
  image: BuiltImage,
  tag: string | undefined,
): Promise<void> {
  const headers = { Authorization: basic('alice') };
  for (const { content } of image.blobs) {
    const { location } = await startUpload(url, name, { headers });
    await send(url, 'PATCH', location, { headers, body: content.slice(0, content.size) });
    expect((await finish(url, location, content.digest, { headers })).status).toBe(201);
  }
  const path = `/v2/${name}/manifests/${tag ?? image.digest}`;
  const put = { headers: { ...headers, 'Content-Type': image.mediaType }, body: image.bytes };
  expect((await send(url, 'PUT', path, put)).status).toBe(201);
}

/** By the form, as a person does it. */
export async function logIn(page: Page, name: string, password = `${name}'s`): Promise<void> {
  await page.goto('/ui/login');
  await page.getByLabel('Name').fill(name);
  await page.getByLabel('Password').fill(password);
  await page.getByRole('main').getByRole('button', { name: 'Log in' }).click();
}
