/** The real store in a temporary folder, with records, held manifests and links over it; and an origin in memory. */

import { Links } from '../../../src/cached/access/links.ts';
import { BadBlobs, RecentMismatches } from '../../../src/content/bad-blobs.ts';
import { HotManifests } from '../../../src/content/hot-manifests.ts';
import type { Digest } from '../../../src/oci/digest.ts';
import { RegistryError } from '../../../src/oci/error.ts';
import type { Repository } from '../../../src/oci/name.ts';
import type { Origin, OriginHealth } from '../../../src/registry/origin.ts';
import type { BlobSource } from '../../../src/registry/registry.ts';
import { BlobStore } from '../../../src/store/blobs/blob-store.ts';
import { Quarantine } from '../../../src/store/blobs/quarantine.ts';
import { StoreLayout } from '../../../src/store/layout.ts';
import { Records } from '../../../src/store/records/records.ts';
import type { RepositoryRecord } from '../../../src/store/records/repository-record.ts';
import { bytesBlob } from '../../support/content.ts';
import type { BuiltImage } from '../../support/images.ts';
import { MemoryRegistry } from '../../support/memory-registry.ts';
import { Recorder } from '../../support/recorder.ts';
import { shortDigest } from '../../support/request-log.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { ScriptedSource } from './rig.ts';

export class StoreRig {
  readonly recorder = new Recorder();
  readonly layout: StoreLayout;
  readonly store: BlobStore;
  readonly records: Records;
  readonly mismatches = new RecentMismatches(Date.now);
  readonly links = new Links();
  readonly badBlobs: BadBlobs;
  readonly manifests: HotManifests;
  /** In order. */
  readonly touched: Digest[] = [];
  /** `DIGEST SIZE`, in order. */
  readonly stored: string[] = [];
  /** Blobs that count as held. */
  readonly held = new Set<Digest>();

  private constructor(layout: StoreLayout) {
    const { observer, logger } = this.recorder;
    this.layout = layout;
    this.store = new BlobStore({ layout, observer });
    this.records = new Records({ layout, observer, logger });
    this.badBlobs = new BadBlobs({
      quarantine: new Quarantine({
        layout,
        observer,
        now: Date.now,
        maxBytes: () => 1024 * 1024,
        counted: () => {},
      }),
      mismatches: this.mismatches,
      events: { removed: (digest, bytes, kind) => this.stored.push(`${digest} ${-bytes} ${kind}`) },
      observer,
      logger,
    });
    this.manifests = this.freshManifests();
  }

  static async create(): Promise<StoreRig> {
    return new StoreRig(await StoreLayout.open(await tempDir()));
  }

  /** As after a restart: nothing is in memory. */
  freshManifests(): HotManifests {
    return new HotManifests({
      store: this.store,
      badBlobs: this.badBlobs,
      events: {
        touch: digest => this.touched.push(digest),
        manifestStored: (digest, bytes) => this.stored.push(`${digest} ${bytes}`),
      },
      logger: this.recorder.logger,
      now: () => 1_000_000,
    });
  }

  record(name = 'docker.io/library/alpine'): Promise<RepositoryRecord> {
    return this.records.open(name);
  }

  /** Everything of an image is held and linked, as after a pull. */
  async hold(image: BuiltImage, record: RepositoryRecord): Promise<void> {
    for (const { descriptor, bytes } of image.manifests) {
      await this.manifests.put(descriptor, bytes);
      record.setManifest(descriptor);
      this.links.link(record, descriptor.digest, false);
    }
    for (const { descriptor } of image.blobs) {
      this.held.add(descriptor.digest);
      this.links.link(record, descriptor.digest, false);
    }
  }
}

/** What `lines` of a `MemoryOrigin` show of each question. */
const methods: Readonly<Record<string, string>> = {
  resolve: 'HEAD',
  manifest: 'GET',
  stat: 'HEAD blob',
  blob: 'GET blob',
};

/** An upstream in memory; `before` makes it fail or wait. */
export class MemoryOrigin extends MemoryRegistry implements Origin {
  readonly key = 'docker.io';
  away = false;
  quotaLow = false;
  paused: number | undefined;

  /** `HEAD latest`, `GET sha256:0123456789ab…`, in order. */
  get lines(): string[] {
    return this.asked.map(
      ({ method, rest }) => `${methods[method] ?? method} ${shortDigest(String(rest[0]))}`,
    );
  }

  /** The manifests of an image, its own one under `tag` too. */
  put(image: BuiltImage, tag?: string): Digest {
    for (const { bytes, descriptor } of image.manifests) {
      const isTop = descriptor.digest === image.digest;
      this.addManifest(bytes, descriptor.mediaType, isTop ? tag : undefined);
    }
    return image.digest;
  }

  foreign(): Promise<never> {
    return Promise.reject(new RegistryError('MANIFEST_UNKNOWN'));
  }

  blobSource(repository: Repository): BlobSource {
    return new ScriptedSource(this.key, bytesBlob(''), [], [], repository);
  }

  health(): OriginHealth {
    const { away, quotaLow } = this;
    return { away, quotaLow, pausedUntil: () => this.paused };
  }

  async close(): Promise<void> {}
}
