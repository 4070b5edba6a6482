/**
 * What oras prints about tags, referrers and artifacts through the mirror, cold and warm, is what it prints directly; so
 * are the files it pulls. Upstreams: a registry with small pages and the referrers API, and Debian's docker-registry,
 * where oras itself keeps the referrers in the fallback tag (distribution-spec, "Referrers Tag Schema").
 */
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, expect, onTestFinished, test } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { bytesBlob } from '../support/content.ts';
import { type BuiltImage, buildImage } from '../support/images.ts';
import { clientEnvironment, prepareFolder } from '../support/real/client.ts';
import type { Finished } from '../support/real/command.ts';
import { Distribution } from '../support/real/distribution.ts';
import { findGoProgram, goBuildTimeoutMs } from '../support/real/go-program.ts';
import { Mirror } from '../support/real/mirror.ts';
import { host, runIn } from '../support/real/place.ts';
import { blobLine, manifestLine, shortDigest } from '../support/request-log.ts';
import { requires } from '../support/requires.ts';
import { tempDir } from '../support/temp-dir.ts';
import { startFakeUpstream } from '../support/upstream.ts';

const repository = 'team/app';
const billType = 'application/vnd.example.bill';
const signatureType = 'application/vnd.example.signature';
/** With and without the upstream's key in the path. */
const prefixes = ['', 'docker.io/'];

requires('oras')('oras and a registry with pages and the referrers API', () => {
  beforeAll(() => findGoProgram('oras'), goBuildTimeoutMs);

  test('prints and pulls the same as directly; the registry is asked once for each list and content', async () => {
    const image = buildImage();
    const bill = buildFile('bill', billType, image);
    const signature = buildFile('signature', signatureType, image);
    const countersignature = buildFile('countersignature', signatureType, bill);
    const upstream = await startFakeUpstream({ quirks: { maxTagsPage: 50 } });
    upstream.put(repository, image, 'latest');
    for (const one of [bill, buildFile('signature', signatureType, image), countersignature])
      upstream.put(repository, one);
    for (let n = 0; n < 130; n += 1) upstream.tag(repository, `v${1000 + n}`, image.digest);
    const { mirror, look } = await startWith(upstream.url);

    const direct = await look(upstream.url, bill.digest);
    expect(direct.printed['repo tags']?.lines).toHaveLength(131);
    expectArtifacts(direct.printed, bill.digest, signature.digest, countersignature.digest);
    expect(direct.files).toEqual({ bill: textOf('bill').toString() });
    const unknownName = { code: 1, lines: ['Error response from registry: name unknown'] }; // directly without this code
    const expected = {
      printed: { ...direct.printed, 'repo tags, unknown repository': unknownName },
      files: direct.files,
    };
    upstream.log.clear();
    for (const prefix of prefixes) {
      expect(await look(`${mirror.url}/${prefix}`, bill.digest)).toEqual(expected);
    }
    expect(upstream.lines().sort()).toEqual(
      [
        ...['', '&last=v1048', '&last=v1098'].map(rest => `GET tags/list?n=1000${rest}`),
        manifestLine('latest', 'HEAD'),
        manifestLine(image.digest),
        manifestLine(bill.digest, 'HEAD'),
        manifestLine(bill.digest),
        blobLine(digestOf(textOf('bill'))),
        ...[image, bill, signature, countersignature].map(
          ({ digest }) => `GET referrers/${shortDigest(digest)}`,
        ),
        manifestLine('unknown'), // remembered for tags.negative_ttl
        ...prefixes.map(() => 'GET tags/list?n=1000'),
      ].sort(),
    );
  });
});

requires('oras', 'docker-registry')('oras and Debian’s docker-registry', () => {
  beforeAll(() => findGoProgram('oras'), goBuildTimeoutMs);

  test('prints and pulls the same as directly, with tags sorted, after oras attached artifacts', async () => {
    const folder = await tempDir();
    const upstream = await Distribution.start({ folder, storage: join(folder, 'storage'), place: host });
    onTestFinished(() => upstream.stop());
    const { mirror, look, oras } = await startWith(upstream.url);
    const name = `${new URL(upstream.url).host}/${repository}`;
    /** Gives the digest of what it pushed. */
    const push = async (command: readonly string[], reference: string, file: string): Promise<string> => {
      await writeFile(join(folder, file), textOf(file));
      const format = ['--plain-http', '--format', 'go-template={{.digest}}'];
      const pushed = await oras([...command, ...format, `${name}${reference}`, `${file}:text/plain`], folder);
      expect(pushed.code, pushed.stderr).toBe(0);
      return pushed.stdout.trim();
    };
    const app = await push(['push'], ':latest,b,a', 'app');
    const bill = await push(['attach', '--artifact-type', billType], ':latest', 'bill');
    const signature = await push(['attach', '--artifact-type', signatureType], ':latest', 'signature');
    const countersignature = await push(
      ['attach', '--artifact-type', signatureType],
      `@${bill}`,
      'countersignature',
    );
    const fallbacks = [app, bill].map(digest => digest.replace(':', '-')).sort();

    const { printed, files } = await look(upstream.url, bill);
    expectArtifacts(printed, bill, signature, countersignature);
    expect(files).toEqual({ bill: textOf('bill').toString() });
    const expected = {
      ...printed, // but that registry neither sorts tags nor knows `last`
      'repo tags': { code: 0, lines: ['a', 'b', 'latest', ...fallbacks] },
      'repo tags after b': { code: 0, lines: ['latest', ...fallbacks] },
      'repo tags without digests': { code: 0, lines: ['a', 'b', 'latest'] },
    };
    expect(printed['repo tags']?.lines.toSorted()).toEqual(expected['repo tags'].lines);
    await upstream.forget();
    for (const prefix of prefixes) {
      expect(await look(`${mirror.url}/${prefix}`, bill)).toEqual({ printed: expected, files });
    }
    const base = `GET ${repository}`;
    expect(await upstream.lines()).toEqual(
      [
        `${base}/tags/list?n=1000`,
        `HEAD ${repository}/manifests/latest`,
        `${base}/manifests/${app}`,
        `HEAD ${repository}/manifests/${bill}`,
        `${base}/manifests/${bill}`,
        `${base}/blobs/${digestOf(textOf('bill'))}`,
        ...[app, bill, signature, countersignature].flatMap(digest => [
          `${base}/referrers/${digest}`,
          `${base}/manifests/${digest.replace(':', '-')}`,
        ]),
        `${base}/manifests/unknown`,
        ...prefixes.map(() => `${base}-unknown/tags/list?n=1000`),
      ].sort(),
    );
  });
});

interface Printed {
  readonly code: number;
  readonly lines: readonly string[];
}

/** That the direct look is worth comparing with: only what is unknown failed, all artifacts are seen, filters work. */
function expectArtifacts(
  printed: Readonly<Record<string, Printed>>,
  bill: string,
  signature: string,
  countersignature: string,
): void {
  const failed = Object.entries(printed).filter(([, { code }]) => code !== 0);
  expect(failed.map(([title]) => title)).toEqual(['repo tags, unknown repository', 'manifest, unknown tag']);
  const seen = (title: string) =>
    [bill, signature, countersignature].filter(digest =>
      printed[title]?.lines.some(line => line.includes(digest)),
    );
  expect(seen('discover')).toEqual([bill, signature, countersignature]);
  expect(seen('discover, JSON').slice(0, 2)).toEqual([bill, signature]); // from oras 1.3 on with what refers to them
  expect(seen('discover, one type')).toEqual([bill]);
  expect(seen('discover, unknown type')).toEqual([]);
}

async function startWith(upstreamUrl: string) {
  const folder = await tempDir();
  const settings = { upstreams: { 'docker.io': upstreamUrl }, tagsTtl: '1h' };
  const mirror = await Mirror.start(host, join(folder, 'mirror'), settings);
  onTestFinished(() => mirror.stop());
  const client = { folder: join(folder, 'client'), place: host, mirror: mirror.url };
  await prepareFolder(client);
  const program = await findGoProgram('oras');
  const oras = async (argv: readonly string[], cwd: string): Promise<Finished> =>
    await runIn(host, [program, ...argv], { env: clientEnvironment(client), cwd });
  let looks = 0;

  /** What oras prints at `url`, which stands as HOST in it, and the files that the bill gives. */
  const look = async (url: string, bill: string) => {
    const at = new URL(url);
    const place = `${at.host}${at.pathname}`;
    looks += 1;
    const cwd = join(client.folder, `look-${looks}`);
    await mkdir(cwd);
    const printed: Record<string, Printed> = {};
    for (const [title, argv] of Object.entries(commandsFor(`${place}${repository}`, bill))) {
      const { code, stdout, stderr } = await oras([...argv, '--plain-http'], cwd);
      const lines = `${stdout}${stderr}`.replaceAll(place, 'HOST/').trimEnd().split('\n');
      printed[title] = { code, lines: lines.map(withoutErrorText) };
    }
    const files: Record<string, string> = {};
    for (const file of await readdir(cwd)) files[file] = await readFile(join(cwd, file), 'utf8');
    return { printed, files };
  };
  return { mirror, look, oras };
}

function commandsFor(name: string, bill: string): Record<string, readonly string[]> {
  const json = ['discover', '--format', 'json'];
  return {
    'repo tags': ['repo', 'tags', name],
    'repo tags after b': ['repo', 'tags', '--last', 'b', name],
    'repo tags without digests': ['repo', 'tags', '--exclude-digest-tags', name],
    'repo tags, unknown repository': ['repo', 'tags', `${name}-unknown`],
    discover: ['discover', '--verbose', `${name}:latest`],
    'discover, JSON': [...json, `${name}:latest`],
    'discover, one type': [...json, '--artifact-type', billType, `${name}:latest`],
    'discover, unknown type': [...json, '--artifact-type', 'application/vnd.example.none', `${name}:latest`],
    'discover, by digest': [...json, `${name}@${bill}`],
    pull: ['pull', '--no-tty', '--concurrency', '1', `${name}@${bill}`],
    'manifest by tag': ['manifest', 'fetch', `${name}:latest`],
    'manifest by digest': ['manifest', 'fetch', `${name}@${bill}`],
    descriptor: ['manifest', 'fetch', '--descriptor', `${name}:latest`],
    'manifest, unknown tag': ['manifest', 'fetch', `${name}:unknown`],
  };
}

/** Every registry has words of its own after the error's code. */
function withoutErrorText(line: string): string {
  return line.replace(/^(Error response from registry: [a-z ]+): .*$/, '$1');
}

function textOf(file: string): Buffer {
  return Buffer.from(`text of ${file}`);
}

/** An artifact that oras pulls as a file. */
function buildFile(title: string, artifactType: string, subject: BuiltImage): BuiltImage {
  const content = bytesBlob(textOf(title));
  const annotations = { 'org.opencontainers.image.title': title };
  const layer = { mediaType: 'text/plain', digest: content.digest, size: content.size, annotations };
  const extra = { artifactType, layers: [layer] };
  return buildImage({ layers: [content], subject, annotations: { about: title }, extra });
}
