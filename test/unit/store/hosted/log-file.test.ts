/** The file of a hosted log: what a crash, a full disk or another process can do to it, and what of it counts. */
import { appendFile, mkdir, open, readFile, rm, stat, symlink, truncate, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { expect, test, vi } from 'vitest';
import { formatChecksummedLine } from '../../../../src/store/disk-files.ts';
import { FolderSyncs } from '../../../../src/store/folder-syncs.ts';
import { LogFile } from '../../../../src/store/hosted/log-file.ts';
import { StoreLayout } from '../../../../src/store/layout.ts';
import { Recorder } from '../../../support/recorder.ts';
import { filesUnder, tempDir } from '../../../support/temp-dir.ts';

class LogFileRig {
  readonly recorder = new Recorder();
  readonly layout: StoreLayout;
  readonly path: string;
  readonly lengthPath: string;

  private constructor(layout: StoreLayout) {
    this.layout = layout;
    this.path = layout.hostedLogPath('team/app');
    this.lengthPath = layout.hostedLengthPath('team/app');
  }

  static async create(): Promise<LogFileRig> {
    return new LogFileRig(await StoreLayout.open(await tempDir()));
  }

  file(): LogFile {
    const folders = new FolderSyncs();
    return new LogFile({
      layout: this.layout,
      repository: 'team/app',
      observer: this.recorder.observer,
      folders,
    });
  }

  async read() {
    return this.file().read();
  }

  /** With these values, one append each. */
  async written(...values: unknown[]): Promise<LogFile> {
    const file = this.file();
    await file.read();
    for (const value of values) await file.append([value]);
    await file.close();
    return file;
  }
}

/** The next call of a method of any open file fails once. */
async function failNext(method: 'datasync' | 'write' | 'truncate', code: string): Promise<void> {
  const handle = await open('/dev/null');
  const prototype: object = Object.getPrototypeOf(handle);
  await handle.close();
  vi.spyOn(prototype as { datasync(): Promise<void> }, method as 'datasync').mockImplementationOnce(() =>
    Promise.reject(Object.assign(new Error(code), { code })),
  );
}

test('what was appended is read again, and no other user may read it', async () => {
  const rig = await LogFileRig.create();
  expect(await rig.read()).toEqual({ values: [], damage: undefined, tornBytes: 0 });
  await rig.written({ n: 1 }, { n: 2 });
  expect(await rig.read()).toEqual({ values: [{ n: 1 }, { n: 2 }], damage: undefined, tornBytes: 0 });
  expect((await stat(rig.path)).mode & 0o007).toBe(0);
  expect((await stat(dirname(rig.path))).mode & 0o007).toBe(0);
});

test('cut at every byte of the last append, it has all appends before, and goes on after them', async () => {
  const rig = await LogFileRig.create();
  const file = await rig.written({ n: 1 }, { n: 2 });
  const before = file.bytes;
  await file.append([{ n: 'ü' }, { n: 4 }]);
  await file.close();
  const whole = await readFile(rig.path);
  const line = Buffer.byteLength(formatChecksummedLine({ n: 'ü' }));
  for (let length = before; length <= whole.length; length += 1) {
    await writeFile(rig.path, whole.subarray(0, length));
    const reopened = rig.file();
    const { values, damage } = await reopened.read();
    const more =
      length >= whole.length - 1 ? [{ n: 'ü' }, { n: 4 }] : length >= before + line - 1 ? [{ n: 'ü' }] : [];
    expect([length, values, damage]).toEqual([length, [{ n: 1 }, { n: 2 }, ...more], undefined]);
    await reopened.append([{ n: 5 }]);
    await reopened.close();
    expect((await rig.read()).values).toEqual([{ n: 1 }, { n: 2 }, ...more, { n: 5 }]);
  }
});

test('cut below the last append, it says that lines are gone', async () => {
  const rig = await LogFileRig.create();
  const file = await rig.written({ n: 1 }, { n: 2 }, { n: 3 });
  const whole = await readFile(rig.path);
  const last = Buffer.byteLength(formatChecksummedLine({ n: 3 }));
  expect(file.bytes).toBe(whole.length);
  for (let length = 0; length < whole.length - last - 1; length += 1) {
    await writeFile(rig.path, whole.subarray(0, length));
    expect([length, (await rig.read()).damage]).toEqual([
      length,
      expect.stringMatching(/has lost (its end|all its lines)/),
    ]);
  }
  await rm(rig.path);
  expect((await rig.read()).damage).toBe(`${rig.path} is missing`);
});

test('a damaged byte in any line but the last one is told, with the line; the right lines are read', async () => {
  const rig = await LogFileRig.create();
  await rig.written({ n: 1 }, { n: 2 }, { n: 3 });
  const whole = await readFile(rig.path);
  const ends = [...whole.entries()].flatMap(([at, byte]) => (byte === 10 ? [at + 1] : []));
  for (let at = 0; at < (ends[2] ?? 0) - 1; at += 1) {
    const bytes = Buffer.from(whole);
    bytes[at] = (bytes[at] ?? 0) ^ 1;
    await writeFile(rig.path, bytes);
    const { values, damage } = await rig.read();
    expect([at, damage]).toEqual([at, expect.stringContaining('is damaged')]);
    expect(values.length).toBeGreaterThanOrEqual(1); // a damaged line feed costs two
  }
  await writeFile(rig.path, whole);
  expect((await rig.read()).damage).toBeUndefined();
});

test.each(['datasync', 'write'] as const)(
  'a failed %s leaves the file as it was, and the next append works',
  async method => {
    const rig = await LogFileRig.create();
    const file = await rig.written({ n: 1 });
    const before = await readFile(rig.path);
    await failNext(method, 'ENOSPC');
    await expect(file.append([{ n: 2 }])).rejects.toMatchObject({
      name: 'StoreError',
      operation: 'record',
      isFull: true,
    });
    expect(await readFile(rig.path)).toEqual(before);
    expect(rig.recorder.events).toEqual(['storeError record']);
    await file.append([{ n: 3 }]);
    expect((await rig.read()).values).toEqual([{ n: 1 }, { n: 3 }]);
  },
);

test('torn bytes that could not be cut away are cut by the next append', async () => {
  const rig = await LogFileRig.create();
  const file = await rig.written({ n: 1 });
  await failNext('datasync', 'EIO');
  await failNext('truncate', 'EIO');
  await expect(file.append([{ n: 2 }])).rejects.toMatchObject({ code: 'EIO' });
  await file.append([{ n: 3 }]);
  expect((await rig.read()).values).toEqual([{ n: 1 }, { n: 3 }]);
});

test('a failed first append leaves no log', async () => {
  const rig = await LogFileRig.create();
  const file = await rig.written();
  await failNext('datasync', 'ENOSPC');
  await expect(file.append([{ n: 1 }])).rejects.toMatchObject({ isFull: true });
  expect(await rig.read()).toEqual({ values: [], damage: undefined, tornBytes: 0 });
  await file.append([{ n: 2 }]);
  expect((await rig.read()).values).toEqual([{ n: 2 }]);
});

test('a file that another process has cut gets no more lines', async () => {
  const rig = await LogFileRig.create();
  const file = await rig.written({ n: 1 }, { n: 2 });
  await truncate(rig.path, 20);
  await expect(file.append([{ n: 3 }])).rejects.toMatchObject({ name: 'StoreError', code: 'TRUNCATED' });
  await rm(rig.path);
  await expect(file.append([{ n: 3 }])).rejects.toMatchObject({ name: 'StoreError', code: 'ENOENT' });
});

test('what is no regular file is not read', async () => {
  const rig = await LogFileRig.create();
  await mkdir(dirname(rig.path), { recursive: true });
  await symlink('/dev/zero', rig.path);
  await expect(rig.read()).rejects.toMatchObject({ name: 'StoreError', code: 'ODD' });
  await rm(rig.path);
  await mkdir(rig.path);
  await expect(rig.read()).rejects.toMatchObject({ name: 'StoreError', code: 'ODD' });
});

test('a rewritten file has the new lines, may keep the old one beside it, and notices its own loss', async () => {
  const rig = await LogFileRig.create();
  const file = await rig.written({ n: 1 }, { n: 2 });
  const before = await readFile(rig.path);
  const aside = join(dirname(rig.path), '_damaged-1');
  await file.replace([{ n: 3 }], aside);
  await file.append([{ n: 4 }]);
  await file.close();
  expect((await rig.read()).values).toEqual([{ n: 3 }, { n: 4 }]);
  expect(await readFile(aside)).toEqual(before);
  expect(await filesUnder(join(rig.layout.path, 'ingest-v1'))).toEqual([]);
  await writeFile(rig.path, (await readFile(rig.path)).subarray(0, 60));
  expect((await rig.read()).damage).toContain('has lost its end');
});

test('a note of another file, a damaged one, or none says nothing', async () => {
  const rig = await LogFileRig.create();
  await rig.written({ n: 1 }, { n: 2 });
  await writeFile(rig.lengthPath, formatChecksummedLine({ id: 'other', bytes: 1e9 }));
  expect((await rig.read()).damage).toBeUndefined();
  await writeFile(rig.lengthPath, 'nonsense');
  expect((await rig.read()).damage).toBeUndefined();
  await rm(rig.lengthPath);
  await appendFile(rig.path, 'torn');
  expect(await rig.read()).toMatchObject({ values: [{ n: 1 }, { n: 2 }], damage: undefined, tornBytes: 4 });
});
