/** What is known of repositories survives a restart; a disk that fails costs knowledge, never a pull. */
import { appendFile, mkdir, rm } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Digest } from '../../../../src/oci/digest.ts';
import type { Descriptor } from '../../../../src/oci/manifest.ts';
import { parseTag } from '../../../../src/oci/name.ts';
import { filesUnder } from '../../../support/temp-dir.ts';
import { alpine, descriptor, digest, everything, latest, minuteMs, RecordsRig } from '../records-rig.ts';

describe('a record', () => {
  test('that is not there is empty, and reading it makes no file', async () => {
    const rig = await RecordsRig.create();
    const record = await rig.open();
    expect(everything(record)).toEqual({ tags: new Map(), manifests: new Map(), links: new Set() });
    expect([record.tag(latest), record.manifest(digest(1)), record.isLinked(digest(1))]).toEqual([
      undefined,
      undefined,
      false,
    ]);
    await rig.records.close();
    expect(await filesUnder(rig.layout.recordsFolder)).toEqual([]);
  });

  test('is opened once, also by many at the same time', async () => {
    const rig = await RecordsRig.create();
    const opened = await Promise.all([rig.open(), rig.open(), rig.open()]);
    expect(new Set(opened).size).toBe(1);
    expect(await rig.open()).toBe(opened[0]);
  });

  test('whose name could leave the folder is refused, each time', async () => {
    const rig = await RecordsRig.create();
    for (let n = 0; n < 2; n += 1)
      await expect(rig.records.open('../a')).rejects.toMatchObject({ code: 'NAME_INVALID' });
    await rig.records.close();
  });

  test('has at once what was set, and after a restart too', async () => {
    const rig = await RecordsRig.create();
    const record = await rig.open();
    record.setTag(latest, { descriptor: descriptor(1), checkedAt: 5 });
    record.setManifest(descriptor(1));
    record.link(digest(2));
    const expected = {
      tags: new Map([[latest, { descriptor: descriptor(1), checkedAt: 5 }]]),
      manifests: new Map([[digest(1), descriptor(1)]]),
      links: new Set([digest(2)]),
    };
    expect(everything(record)).toEqual(expected);
    expect(everything(await rig.reopen())).toEqual(expected);
  });

  test('after any operations and restarts is what a plain model is', async () => {
    const n = fc.nat(3);
    const tag = fc.constantFrom('latest', '1', 'v2').map(parseTag);
    const operation = fc.oneof(
      fc.record({ kind: fc.constant('tag' as const), tag, n, steps: fc.nat(3) }),
      fc.record({ kind: fc.constantFrom('untag' as const), tag }),
      fc.record({ kind: fc.constantFrom('manifest', 'forget', 'link', 'unlink'), n }),
      fc.record({ kind: fc.constant('restart' as const) }),
      fc.record({ kind: fc.constant('flush' as const) }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(operation, { maxLength: 40 }), async operations => {
        const rig = await RecordsRig.create();
        let record = await rig.open();
        let nowMs = 0;
        const tags = new Map<string, { descriptor: Descriptor; checkedAt: number }>();
        const manifests = new Map<Digest, Descriptor>();
        const links = new Set<Digest>();
        for (const one of operations) {
          if (one.kind === 'tag') {
            nowMs += one.steps * 10 * minuteMs; // each confirmation that comes later than that is written
            const entry = { descriptor: descriptor(one.n), checkedAt: nowMs };
            record.setTag(one.tag, entry);
            tags.set(one.tag, entry);
          } else if (one.kind === 'untag') {
            record.removeTag(one.tag);
            tags.delete(one.tag);
          } else if (one.kind === 'restart') record = await rig.reopen();
          else if (one.kind === 'flush') await record.flush();
          else if (one.kind === 'manifest') {
            record.setManifest(descriptor(one.n));
            manifests.set(digest(one.n), descriptor(one.n));
          } else if (one.kind === 'forget') {
            record.removeManifest(digest(one.n));
            manifests.delete(digest(one.n));
          } else if (one.kind === 'link') {
            record.link(digest(one.n));
            links.add(digest(one.n));
          } else {
            record.unlink(digest(one.n));
            links.delete(digest(one.n));
          }
          expect(everything(record)).toEqual({ tags, manifests, links });
        }
        expect(everything(await rig.reopen())).toEqual({ tags, manifests, links });
        expect([rig.recorder.events, rig.recorder.logged]).toEqual([[], []]);
        await rm(rig.layout.path, { recursive: true });
      }),
      { numRuns: 60 },
    );
  });
});

describe('a disk that fails', () => {
  test('to write is reported and logged, never thrown; the record goes on in memory and later on disk', async () => {
    const rig = await RecordsRig.create();
    const record = await rig.open();
    await mkdir(rig.path, { recursive: true }); // a folder where the file belongs
    record.link(digest(1));
    record.setTag(latest, { descriptor: descriptor(1), checkedAt: 1 });
    await record.flush();
    expect([record.isLinked(digest(1)), rig.recorder.events]).toEqual([true, ['storeError record']]);
    expect(rig.recorder.logged).toEqual([
      expect.stringMatching(/^warn a record could not be written .*alpine/),
    ]);
    await rm(rig.path, { recursive: true });
    record.link(digest(2));
    expect((await rig.reopen()).isLinked(digest(2))).toBe(true);
  });

  test('to read makes the record count as empty, and says so', async () => {
    const rig = await RecordsRig.create();
    await mkdir(rig.path, { recursive: true });
    const record = await rig.open();
    expect(everything(record).links.size).toBe(0);
    expect(rig.recorder.events).toEqual(['storeError record']);
    expect(rig.recorder.logged).toEqual([expect.stringMatching(/^warn a record could not be read .*alpine/)]);
  });
});

describe('all records', () => {
  test('are named by their folders, nested ones too; other files are none', async () => {
    const rig = await RecordsRig.create();
    const names = [alpine, 'docker.io/library', 'ghcr.io/a/b/c', 'localhost:5000/x', 'team'];
    for (const name of names) (await rig.records.open(name)).link(digest(1));
    await rig.records.open('docker.io/library/never-set');
    await rig.records.flush();
    await appendFile(`${rig.layout.recordsFolder}/notes.txt`, 'foreign');
    const found: string[] = [];
    found.push(...(await rig.records.allNames()));
    expect(found.sort()).toEqual(names.toSorted());
  });

  test('of a store without their folder are none', async () => {
    const rig = await RecordsRig.create();
    await rm(rig.layout.recordsFolder, { recursive: true });
    const names: string[] = [];
    names.push(...(await rig.records.allNames()));
    expect(names).toEqual([]);
  });

  test('are written at the end, each in its own file', async () => {
    const rig = await RecordsRig.create();
    for (const name of ['a/b', 'a/c']) (await rig.records.open(name)).link(digest(1));
    await rig.records.close();
    await rig.records.close();
    expect(await filesUnder(rig.layout.recordsFolder)).toEqual(['a/b/_record', 'a/c/_record']);
  });
});

test('a record that is in use stays the same object while thousands of others come', async () => {
  const rig = await RecordsRig.create();
  const mine = await rig.open();
  for (let n = 0; n < 5000; n += 1) await rig.records.open(`docker.io/library/other${n}`);
  await delay(0);
  mine.link(digest(1));
  const again = await rig.open();
  expect(again).toBe(mine);
  expect(again.isLinked(digest(1))).toBe(true);
  expect((await rig.reopen()).isLinked(digest(1))).toBe(true);
});
