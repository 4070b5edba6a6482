/** `cistern push` in this process, and sources to push. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { type PushCommand, runPush } from '../../src/cli/push/push.ts';
import { hexOf } from '../../src/oci/digest.ts';
import type { BuiltImage } from './images.ts';
import { tempDir } from './temp-dir.ts';

export interface PushResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export async function push(
  source: string,
  image: string,
  options: Partial<PushCommand> = {},
): Promise<PushResult> {
  let [stdout, stderr] = ['', ''];
  const code = await runPush({
    source,
    image,
    chunkBytes: 1_000_000,
    plainHttp: false,
    insecure: false,
    json: false,
    env: {},
    userAgent: 'cistern/test',
    progressTo: new Writable({
      write(chunk, _encoding, done) {
        stderr += chunk;
        done();
      },
    }),
    write: text => {
      stdout += text;
    },
    writeError: text => {
      stderr += text;
    },
    signal: new AbortController().signal,
    ...options,
  });
  return { code, stdout, stderr };
}

/** An OCI layout with these images, by their names. */
export async function writeLayout(images: Readonly<Record<string, BuiltImage>>): Promise<string> {
  const folder = await tempDir();
  const blobs = join(folder, 'blobs', 'sha256');
  await mkdir(blobs, { recursive: true });
  for (const image of Object.values(images)) {
    for (const { descriptor, bytes } of image.manifests)
      await writeFile(join(blobs, hexOf(descriptor.digest)), bytes);
    for (const { descriptor, content } of image.blobs)
      await writeFile(join(blobs, hexOf(descriptor.digest)), content.slice(0, content.size));
  }
  await writeFile(join(folder, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  const manifests = Object.entries(images).map(([name, { descriptor }]) => ({
    ...descriptor,
    annotations: { 'org.opencontainers.image.ref.name': name },
  }));
  await writeFile(join(folder, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests }));
  return folder;
}
