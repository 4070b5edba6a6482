/** Records of one store in a temporary folder, opened again as often as a test likes, as a restarted process would. */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { type Digest, digestOf } from '../../../src/oci/digest.ts';
import type { Descriptor } from '../../../src/oci/manifest.ts';
import { parseTag, type Tag } from '../../../src/oci/name.ts';
import { parseChecksummedLine } from '../../../src/store/disk-files.ts';
import { StoreLayout } from '../../../src/store/layout.ts';

import { Records } from '../../../src/store/records/records.ts';
import type { RepositoryRecord, TagEntry } from '../../../src/store/records/repository-record.ts';
import { Recorder } from '../../support/recorder.ts';
import { tempDir } from '../../support/temp-dir.ts';

export const alpine = 'docker.io/library/alpine';
export const minuteMs = 60_000;

export class RecordsRig {
  readonly layout: StoreLayout;
  readonly recorder = new Recorder();
  records: Records;

  private constructor(layout: StoreLayout) {
    this.layout = layout;
    this.records = this.#fresh();
  }

  static async create(): Promise<RecordsRig> {
    return new RecordsRig(await StoreLayout.open(await tempDir()));
  }

  get path(): string {
    return this.layout.recordPath(alpine);
  }

  open(): Promise<RepositoryRecord> {
    return this.records.open(alpine);
  }

  /** As another process would find it. */
  async reopen(): Promise<RepositoryRecord> {
    await this.records.close();
    this.records = this.#fresh();
    return this.open();
  }

  async lines(): Promise<unknown[]> {
    return (await readFile(this.path, 'utf8')).split('\n').slice(0, -1).map(parseChecksummedLine);
  }

  async place(text: string): Promise<void> {
    await mkdir(dirname(this.path), { recursive: true });
    await writeFile(this.path, text);
  }

  #fresh(): Records {
    const { observer, logger } = this.recorder;
    return new Records({ layout: this.layout, observer, logger });
  }
}

export function digest(n: number): Digest {
  return digestOf(Buffer.from(String(n)));
}

export function descriptor(n: number, mediaType = 'application/vnd.oci.image.manifest.v1+json'): Descriptor {
  return { mediaType, digest: digest(n), size: n };
}

/** All that a record says. */
export function everything(record: RepositoryRecord): {
  tags: Map<Tag, TagEntry>;
  manifests: Map<Digest, Descriptor>;
  links: Set<Digest>;
} {
  return {
    tags: new Map(record.tags()),
    manifests: new Map(Array.from(record.manifests(), one => [one.digest, one])),
    links: new Set(record.links()),
  };
}

export const latest = parseTag('latest');
