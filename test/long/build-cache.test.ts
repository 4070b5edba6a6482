/**
 * BuildKit's caches in the private registry: an index whose children are layers, and an image manifest. Collections leave both whole when
 * the images that were built are gone, and a builder that has forgotten everything builds from them.
 */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { get } from '../support/client.ts';
import { askForGc, hostedConfig } from '../support/collection-soak.ts';
import { patternBlob } from '../support/content.ts';
import { startTestMirror } from '../support/mirror.ts';
import { Buildkit } from '../support/real/buildkit.ts';
import { requires } from '../support/requires.ts';
import { tempDir } from '../support/temp-dir.ts';
import { send } from '../support/upload-client.ts';

const day = 86_400_000;
const size = 1_000_000;
const files = ['base', 'tool', 'result'] as const;
/** The layers of `base` and `tool` are in no image, so the cache alone keeps them. */
const dockerfile = `FROM scratch AS build
COPY base /base
COPY tool /tool
COPY result /result
FROM scratch
COPY --from=build /result /result
`;
const accept = 'application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json';

requires(
  'root',
  'go',
  'runc',
)('caches of BuildKit', () => {
  test.for([
    ['an index', 'image-manifest=false'],
    ['an image manifest', 'image-manifest=true'],
  ] as const)(
    '%s: nothing of it is collected, and a builder that forgot everything builds from it',
    async ([, form]) => {
      const clock = { aheadMs: 0 };
      const now = () => Date.now() + clock.aheadMs;
      const mirror = await startTestMirror({ config: hostedConfig(), now });
      const folder = await tempDir();
      const buildkit = await Buildkit.start(folder);
      const context = join(folder, 'source');
      await mkdir(context);
      await writeFile(join(context, 'Dockerfile'), dockerfile);
      for (const name of files) await writeFile(join(context, name), patternBlob(name, size).slice(0, size));
      const address = new URL(mirror.url).host;
      const cache = `type=registry,ref=${address}/team/app:cache`;
      await buildkit.build({
        context,
        exportCache: `${cache},mode=max,${form}`,
        output: `type=image,name=${address}/team/app:1,push=true`,
      });

      const manifest = await get(mirror.url, '/v2/team/app/manifests/cache', { headers: { accept } });
      const { manifests = [], layers = [], config } = JSON.parse(manifest.body.toString());
      const named: { digest: string; mediaType: string }[] = [
        ...manifests,
        ...layers,
        ...(config === undefined ? [] : [config]),
      ];
      const types = named.map(({ mediaType }) => mediaType).sort();
      const layerType = 'application/vnd.oci.image.layer.v1.tar+gzip';
      expect(types.slice(0, 1)).toEqual(['application/vnd.buildkit.cacheconfig.v0']);
      expect(types.slice(1).length).toBeGreaterThanOrEqual(files.length);
      expect(types.slice(1).every(type => type === layerType)).toBe(true);

      expect((await send(mirror.url, 'DELETE', '/v2/team/app/manifests/1')).status).toBe(202);
      clock.aheadMs = 40 * day;
      const { repositories } = await askForGc(mirror);
      const removed = repositories.flatMap(repository => repository.removed);
      expect(removed.filter(({ kind }) => kind === 'manifest')).toHaveLength(1);
      for (const { digest } of named) {
        expect(removed.map(({ name }) => name)).not.toContain(digest);
        const answer = await get(mirror.url, `/v2/team/app/blobs/${digest}`);
        expect([answer.status, answer.sha256]).toEqual([200, digest]);
      }

      await buildkit.prune();
      const output = join(folder, 'output');
      const before = mirror.log.length;
      await buildkit.build({
        context,
        target: 'build',
        importCache: cache,
        output: `type=local,dest=${output}`,
      });
      for (const name of files)
        expect(await readFile(join(output, name))).toEqual(patternBlob(name, size).slice(0, size));
      const pulled = mirror.log
        .slice(before)
        .filter(({ method, path }) => method === 'GET' && `${path}`.includes('/blobs/'));
      expect(new Set(pulled.map(({ path }) => path)).size).toBe(files.length + 1); // and the cache's config
    },
  );
});
