/**
 * The upstream is away in three ways: refused, stopped (it accepts and never answers) and gone from DNS. Tags that were
 * pulled once keep pulling with every client; for others the mirror gives up soon, and clients with a next source take it.
 * All of it runs in a network namespace in which Docker Hub is a registry of the test with a certificate of its own.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { CertificateAuthority } from '../support/certificates.ts';
import { formatRequest } from '../support/real/access-log.ts';
import type { RealClient } from '../support/real/client.ts';
import { clientKinds } from '../support/real/clients.ts';
import { Distribution } from '../support/real/distribution.ts';
import { imageId, type RealImage } from '../support/real/image-set.ts';
import { Mirror } from '../support/real/mirror.ts';
import { Namespace } from '../support/real/place.ts';
import { requires } from '../support/requires.ts';
import { openSuiteParts, type SuiteParts } from './suite-parts.ts';

const hubNames = ['registry-1.docker.io', 'auth.docker.io', 'docker.io', 'index.docker.io'];
const upstreamName = 'upstream.test';
/** The most that a cold pull may spend on a mirror whose upstream is away. */
const giveUpMs = 10_000;

/** skopeo is told one address only. */
const haveNextSource = ['dockerd', 'containerd', 'containerd with _default', 'podman'];

requires(
  'root',
  'namespaces',
  'debian-packages',
  'docker-registry',
  'openssl',
  'dockerd',
  'containerd',
  'podman',
  'skopeo',
)('an upstream that is away', () => {
  let parts: SuiteParts;
  let place: Namespace;
  let hub: Distribution;
  let upstream: Distribution;
  let mirror: Mirror;
  const clients = new Map<string, RealClient>();

  beforeAll(async () => {
    parts = await openSuiteParts();
    const { folder, storage } = parts;
    const authority = new CertificateAuthority(folder);
    const tls = await writeCertificate(authority, folder);
    place = await Namespace.create(join(folder, 'namespace'), [...hubNames, upstreamName]);
    hub = await Distribution.start({ folder: join(folder, 'hub'), storage, place, tls, port: 443 });
    upstream = await Distribution.start({ folder: join(folder, 'registry'), storage, place });
    mirror = await Mirror.start(place, join(folder, 'mirror'), settings());
    for (const [name, kind] of Object.entries(clientKinds)) {
      const options = { folder: join(folder, name.replaceAll(' ', '-')), place, mirror: mirror.url };
      clients.set(name, await kind.start({ ...options, trusted: authority.caFile }));
    }
    for (const image of warmImages()) for (const client of clients.values()) await pullRight(client, image);
  });

  afterAll(async () => {
    for (const client of clients.values()) await client.close();
    await mirror?.stop();
    upstream?.signal('SIGCONT');
    await upstream?.stop();
    await hub?.stop();
    await place?.close();
    await parts?.remove();
  });

  describe('refused', () => {
    beforeAll(async () => await upstream.stop());
    afterAll(async () => {
      const { folder, storage } = parts;
      upstream = await Distribution.start({
        folder: join(folder, 'again'),
        storage,
        place,
        port: upstream.port,
      });
    });
    whileAway();
  });

  describe('stopped: it accepts and never answers', () => {
    beforeAll(() => upstream.signal('SIGSTOP'));
    afterAll(() => upstream.signal('SIGCONT'));
    whileAway();
  });

  describe('gone from DNS', () => {
    beforeAll(async () => await place.setNames(hubNames));
    whileAway();
  });

  function whileAway(): void {
    // An open connection helps no client, or by what the mirror learned from the client before.
    beforeEach(async () => await mirror.restart(settings()));

    for (const name of Object.keys(clientKinds)) {
      test(`${name} pulls a warm tag from the mirror alone`, async () => {
        const client = clientNamed(name);
        await client.wipe();
        await hub.forget();
        for (const image of warmImages()) await pullRight(client, image);
        expect(await hub.lines()).toEqual([]);
      });

      test(`${name} is answered within 10 s for a cold tag`, async () => {
        const cold = parts.images.list;
        const client = clientNamed(name);
        await client.wipe();
        await hub.forget();
        mirror.forget();
        const { code, stdout, stderr } = await client.pull(cold);
        const asked = await mirror.requests();
        expect(asked.map(({ path }) => path).join('\n')).toContain(cold.repository);
        expect(asked.filter(({ path, status }) => status < 500 && path.includes('/manifests/'))).toEqual([]);
        // without what the client does between its questions, which on a busy machine takes its time
        const spentMs = asked.reduce((sum, { startedAt, endedAt }) => sum + endedAt - startedAt, 0);
        expect(spentMs).toBeLessThan(giveUpMs);

        const fromHub = (await hub.requests())
          .map(formatRequest)
          .filter(line => line.includes(cold.repository));
        if (haveNextSource.includes(name)) {
          expect(code, `${stderr}${stdout}`).toBe(0);
          expect(await client.identify(cold)).toEqual({ imageId: imageId(cold), digest: cold.top.digest });
          expect(fromHub).not.toEqual([]);
        } else {
          expect(code).not.toBe(0);
          expect(fromHub).toEqual([]);
        }
      });
    }
  }

  function warmImages(): readonly RealImage[] {
    return [parts.images.tiny, parts.images.index];
  }

  /** Every pull wants a check of its tag. */
  function settings() {
    const url = `http://${upstreamName}:${upstream.port}`;
    return { upstreams: { 'docker.io': url }, tagsTtl: '0s' };
  }

  function clientNamed(name: string): RealClient {
    const client = clients.get(name);
    if (client === undefined) throw new Error(`expected a client ${name}`);
    return client;
  }
});

async function pullRight(client: RealClient, image: RealImage): Promise<void> {
  const { code, stdout, stderr } = await client.pull(image);
  expect(code, `${stderr}${stdout}`).toBe(0);
  expect(await client.identify(image)).toEqual({ imageId: imageId(image), digest: image.top.digest });
}

async function writeCertificate(
  authority: CertificateAuthority,
  folder: string,
): Promise<{ certificate: string; key: string }> {
  const { cert, key } = authority.issue([...hubNames.map(name => `DNS:${name}`), 'IP:127.0.0.1']);
  const paths = { certificate: join(folder, 'hub.crt'), key: join(folder, 'hub.key') };
  await writeFile(paths.certificate, cert);
  await writeFile(paths.key, key);
  return paths;
}
