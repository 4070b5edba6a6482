/** `cistern import --from` of a folder that distribution 3 wrote, built with Go. */
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { runForJson } from '../support/cistern-command.ts';
import { get } from '../support/client.ts';
import { buildArtifact, buildImage, buildIndex } from '../support/images.ts';
import { spawnTestMirror } from '../support/mirror.ts';
import { push, writeLayout } from '../support/push-command.ts';
import { commandOutput } from '../support/real/command.ts';
import { Distribution } from '../support/real/distribution.ts';
import { host } from '../support/real/place.ts';
import { requires } from '../support/requires.ts';
import { tempDir } from '../support/temp-dir.ts';

const version = 'github.com/distribution/distribution/v3/cmd/registry@v3.1.2';
const accept = 'application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json';

requires('root', 'go')('cistern import of a distribution 3 folder', () => {
  test('images, an index and an artifact with a subject: all are here and pull', async () => {
    const programs = await tempDir();
    await commandOutput(['go', 'install', version], { env: { GOBIN: programs }, timeoutMs: 600_000 });
    const folder = await tempDir();
    const registry = await Distribution.start({
      program: join(programs, 'registry'),
      folder,
      storage: join(folder, 'storage'),
      place: host,
    });
    onTestFinished(() => registry.stop());
    const image = buildImage();
    const images = { 'app:1': image, 'multi:1': buildIndex(), 'app:sbom': buildArtifact({ subject: image }) };
    for (const [name, built] of Object.entries(images))
      expect((await push(await writeLayout({ built }), `127.0.0.1:${registry.port}/team/${name}`)).code).toBe(
        0,
      );

    const mirror = await spawnTestMirror({ config: { hosted: { repositories: ['**'] }, upstreams: {} } });
    const report = await runForJson(mirror.file, 'import', '--from', join(folder, 'storage'));
    expect(report).toMatchObject({ repositories: 2, tags: { imported: 3 }, skipped: [] });
    for (const [name, built] of Object.entries(images)) {
      const target = `/v2/team/${name.replace(':', '/manifests/')}`;
      const answer = await get(mirror.url, target, { headers: { accept } });
      expect([name, answer.status, answer.body]).toEqual([name, 200, built.bytes]);
    }
  });
});
