/**
 * The OCI conformance program against the private registry, with every switch of `OCI_VERSION=dev` at its default; and its
 * read-only mode against a mirrored repository.
 */
import { expect, test } from 'vitest';
import { buildArtifact, buildImage, buildIndex } from '../support/images.ts';
import { startTestMirror } from '../support/mirror.ts';
import { Conformance, type ConformanceReport } from '../support/real/conformance.ts';
import { goBuildTimeoutMs } from '../support/real/go-program.ts';
import { requires } from '../support/requires.ts';
import { tempDir } from '../support/temp-dir.ts';
import { startFakeUpstream } from '../support/upstream.ts';

/** Names of cases that are skipped, with the reason. A case that isn't skipped any more leaves its list. */
type Skipped = Readonly<Record<string, string>>;
const skippedByPushing: Skipped = {};
const skippedByReading: Skipped = Object.fromEntries(
  ['delete/blob-delete', 'delete/manifest-delete', 'push/manifest-by-digest', 'push/manifest-by-tag'].map(
    name => [`OCI Conformance Test/read-only/${name}`, 'switched off: a mirrored repository takes no writes'],
  ),
);

/** A program that tests half of it is another version. */
const fewestCases = 750;

function expectPassed({ code, counts, cases }: ConformanceReport, mayBeSkipped: Skipped): void {
  const { passed = [], skipped = [], ...others } = Object.fromEntries(cases);
  expect(others).toEqual({});
  expect([...new Set(skipped)].sort()).toEqual(Object.keys(mayBeSkipped).sort());
  const { tests, failures, errors } = counts;
  expect({ code, failures, errors }).toEqual({ code: 0, failures: 0, errors: 0 });
  expect(counts.skipped).toBeLessThanOrEqual(skipped.length); // what is switched off has the status, and isn't counted
  expect(tests).toBeGreaterThanOrEqual(passed.length);
  expect(passed.length).toBeGreaterThan(0);
}

requires('conformance')('OCI conformance', () => {
  test(
    'of the private registry: no case fails, no case is skipped without a reason',
    async () => {
      const program = await Conformance.find();
      const rules = [
        { repositories: ['conformance/**'], users: ['anonymous'], actions: ['pull', 'push', 'delete'] },
      ];
      const mirror = await startTestMirror({
        config: { upstreams: {}, hosted: { repositories: ['conformance/**'] }, access: { rules } },
      });
      const report = await program.run(mirror.url, await tempDir(), {});
      expectPassed(report, skippedByPushing);
      expect(report.cases.get('passed')?.length).toBeGreaterThanOrEqual(fewestCases);
      expect(mirror.log.filter(({ level }) => level === 'error')).toEqual([]);
    },
    goBuildTimeoutMs,
  );

  test(
    'of a mirrored repository, read-only',
    async () => {
      const program = await Conformance.find();
      const upstream = await startFakeUpstream();
      const image = buildImage();
      const index = buildIndex();
      const bill = buildArtifact({ subject: image });
      upstream.put('team/app', image, 'latest');
      upstream.put('team/app', index, 'all');
      upstream.put('team/app', bill);
      const mirror = await startTestMirror({
        upstream,
        config: { hosted: { repositories: ['conformance/**'] } },
      });
      // Of manifests that it hasn't pushed, this version looks for the digest in an answer that it has not kept.
      const off = ['PUSH', 'BLOBS_DELETE', 'MANIFESTS_DELETE', 'TAGS_DELETE', 'MANIFESTS_DIGEST_HEADER'].map(
        name => [`API_${name}`, 'false'],
      );
      const report = await program.run(mirror.url, await tempDir(), {
        ...Object.fromEntries(off),
        // Without pushes this version crashes when it reports the tests of pushes that it skipped.
        FILTER_TEST: 'OCI Conformance Test/read-only',
        REPO1: 'docker.io/team/app',
        RO_DATA_TAGS: 'latest all',
        RO_DATA_MANIFESTS: `${image.digest} ${index.digest} ${bill.digest}`,
        RO_DATA_BLOBS: image.blobs.map(({ descriptor }) => descriptor.digest).join(' '),
        RO_DATA_REFERRERS: image.digest,
      });
      expectPassed(report, skippedByReading);
      const { length } = report.cases.get('passed') ?? [];
      expect(length).toBeGreaterThanOrEqual(15);
    },
    goBuildTimeoutMs,
  );
});
