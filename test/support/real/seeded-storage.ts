/**
 * The storage folder of a docker-registry that holds the image set, pushed into it once over HTTP and kept beside the
 * images; the suites start their registries on it and only read.
 */
import { createReadStream, existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rename, rm, stat } from 'node:fs/promises';
import { request } from 'node:http';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { type Digest, hexOf } from '../../../src/oci/digest.ts';
import { Distribution } from './distribution.ts';
import type { ImageSet, RealManifest } from './image-set.ts';
import { host } from './place.ts';

export async function openSeededStorage(set: ImageSet): Promise<string> {
  const folder = join(dirname(set.blobs), 'storage');
  if (existsSync(folder)) return folder;
  const building = await mkdtemp(`${folder}-building-`);
  try {
    const storage = join(building, 'storage');
    await mkdir(storage);
    const registry = await Distribution.start({ folder: join(building, 'run'), storage, place: host });
    try {
      for (const image of Object.values(set.images)) {
        const push = new Push(`${registry.url}/v2/${image.repository}`, set.blobs);
        for (const child of image.children) await push.manifest(child, child.digest);
        await push.manifest(image.top, image.tag);
      }
    } finally {
      await registry.stop();
    }
    await rename(storage, folder);
  } finally {
    await rm(building, { recursive: true, force: true });
  }
  return folder;
}

class Push {
  readonly #base: string;
  readonly #blobs: string;

  constructor(base: string, blobs: string) {
    this.#base = base;
    this.#blobs = blobs;
  }

  async manifest(manifest: RealManifest, reference: string): Promise<void> {
    for (const digest of manifest.blobs) await this.#blob(digest);
    const response = await fetch(`${this.#base}/manifests/${reference}`, {
      method: 'PUT',
      headers: { 'content-type': manifest.mediaType },
      body: await readFile(this.#path(manifest.digest)),
    });
    expectStatus(201, response.status, `PUT of manifest ${reference}: ${await response.text()}`);
    const got = response.headers.get('docker-content-digest');
    if (got !== manifest.digest) throw new Error(`expected ${manifest.digest}, the registry stored ${got}`);
  }

  async #blob(digest: Digest): Promise<void> {
    const held = await fetch(`${this.#base}/blobs/${digest}`, { method: 'HEAD' });
    if (held.status === 200) return;
    const started = await fetch(`${this.#base}/blobs/uploads/`, { method: 'POST' });
    expectStatus(202, started.status, 'POST of an upload');
    const target = new URL(started.headers.get('location') ?? '', this.#base);
    target.searchParams.set('digest', digest);
    const { size } = await stat(this.#path(digest));
    const status = await new Promise<number>((resolve, reject) => {
      const headers = { 'content-type': 'application/octet-stream', 'content-length': size };
      const put = request(target, { method: 'PUT', headers }, response => {
        response.resume();
        resolve(response.statusCode ?? 0);
      });
      put.once('error', reject);
      pipeline(createReadStream(this.#path(digest)), put).catch(reject);
    });
    expectStatus(201, status, `PUT of blob ${digest}`);
  }

  #path(digest: Digest): string {
    return join(this.#blobs, hexOf(digest));
  }
}

function expectStatus(expected: number, got: number, what: string): void {
  if (got !== expected) throw new Error(`expected ${expected}, got ${got} for ${what}`);
}
