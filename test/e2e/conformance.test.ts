/**
 * The OCI conformance program against the private registry, with every switch of `OCI_VERSION=dev` at its default; and its
 * read-only mode against a mirrored repository.
 */
import { expect, test } from 'vitest';
import { buildArtifact, buildImage, buildIndex } from '../support/images.ts';
import { startTestMirror } from '../support/mirror.ts';
import { Conformance, conformanceBuildTimeoutMs, type ConformanceReport } from '../support/real/conformance.ts';
import { requires } from '../support/requires.ts';
import { tempDir } from '../support/temp-dir.ts';
import { startFakeUpstream } from '../support/upstream.ts';

/** Names of cases that may be skipped, with the reason. A case that isn't skipped any more leaves the list. */
const mayBeSkipped: Readonly<Record<string, string>> = {};

/** A program that tests half of it is another version. */
const fewestCases = 750;

function expectPassed({ code, counts, cases }: ConformanceReport): void {
  const { passed = [], skipped = [], ...others } = Object.fromEntries(cases);
  expect(others).toEqual({});
  expect(skipped.toSorted()).toEqual(Object.keys(mayBeSkipped).toSorted());
  expect({ code, ...counts, tests: counts.tests > 0 }).toEqual({
    code: 0,
    failures: 0,
    errors: 0,
    skipped: skipped.length,
    tests: true,
  });
  expect(passed.length).toBeGreaterThan(0);
}

requires('conformance')('OCI conformance', () => {
  test('of the private registry: no case fails, no case is skipped without a reason', async () => {
    const program = await Conformance.find();
    const rules = [
      { repositories: ['conformance/**'], users: ['anonymous'], actions: ['pull', 'push', 'delete'] },
    ];
    const mirror = await startTestMirror({
      config: { upstreams: {}, hosted: { repositories: ['conformance/**'] }, access: { rules } },
    });
    const report = await program.run(mirror.url, await tempDir(), {});
    expectPassed(report);
    expect(report.cases.get('passed')?.length).toBeGreaterThanOrEqual(fewestCases);
    expect(mirror.log.filter(({ level }) => level === 'error')).toEqual([]);
  }, conformanceBuildTimeoutMs);

  test('of a mirrored repository, read-only', async () => {
    const program = await Conformance.find();
    const upstream = await startFakeUpstream();
    const image = buildImage();
    const index = buildIndex();
    const bill = buildArtifact({ subject: image });
    upstream.put('team/app', image, 'latest');
    upstream.put('team/app', index, 'all');
    upstream.put('team/app', bill);
    const mirror = await startTestMirror({ upstream, config: { hosted: { repositories: ['conformance/**'] } } });
    const off = ['PUSH', 'BLOBS_DELETE', 'MANIFESTS_DELETE', 'TAGS_DELETE'].map(name => [`API_${name}`, 'false']);
    const report = await program.run(mirror.url, await tempDir(), {
      ...Object.fromEntries(off),
      REPO1: 'docker.io/team/app',
      RO_DATA_TAGS: 'latest all',
      RO_DATA_MANIFESTS: `${image.digest} ${index.digest} ${bill.digest}`,
      RO_DATA_BLOBS: image.blobs.map(({ descriptor }) => descriptor.digest).join(' '),
      RO_DATA_REFERRERS: image.digest,
    });
    expectPassed(report);
  }, conformanceBuildTimeoutMs);
});
