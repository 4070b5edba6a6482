/** Hosted logs in a folder, opened again as often as a test likes, as a restarted process would; and changes to commit. */
import { createHash } from 'node:crypto';
import type { HostedChange, HostedRepository } from '../../src/hosted/log/hosted-log.ts';
import { LoggedRepositories } from '../../src/hosted/log/logged-repositories.ts';
import { ReferenceCounts } from '../../src/hosted/log/reference-counts.ts';
import type { Digest } from '../../src/oci/digest.ts';
import { parseDigest } from '../../src/oci/digest.ts';
import { parseRepository, parseTag, type Repository, type Tag } from '../../src/oci/name.ts';
import { HostedLogs } from '../../src/store/hosted/hosted-logs.ts';
import { StoreLayout } from '../../src/store/layout.ts';
import { Recorder } from './recorder.ts';
import { tempDir } from './temp-dir.ts';

export const app: Repository = parseRepository('team/app');

export function digestNo(n: number): Digest {
  return parseDigest(`sha256:${createHash('sha256').update(String(n)).digest('hex')}`);
}

export function tag(text: string): Tag {
  return parseTag(text);
}

export function link(n: number, at = n): HostedChange {
  return { type: 'link', digest: digestNo(n), size: n, at, how: 'push' };
}

export function unlink(n: number, at = n): HostedChange {
  return { type: 'unlink', digest: digestNo(n), at, how: 'delete' };
}

export function manifest(
  n: number,
  tags: readonly string[],
  { at = n, names = [], subject }: { at?: number; names?: readonly number[]; subject?: number } = {},
): HostedChange {
  return {
    type: 'manifest',
    at,
    user: 'ann',
    how: 'push',
    descriptor: { mediaType: 'application/vnd.oci.image.manifest.v1+json', digest: digestNo(n), size: n },
    names: names.map(digestNo),
    tags: tags.map(tag),
    ...(subject !== undefined && { subject: digestNo(subject) }),
  };
}

/** All that a repository says, but for its generation, in an order that doesn't depend on how it came to be. */
export function everythingOf(repository: HostedRepository): unknown {
  const byDigest = <T>(items: Iterable<T>, digestOf: (item: T) => Digest) =>
    Object.fromEntries(
      Array.from(items, item => [digestOf(item), item] as const).sort(([a], [b]) => (a < b ? -1 : 1)),
    );
  const digests = Array.from({ length: 40 }, (_, n) => digestNo(n));
  return {
    manifests: byDigest(repository.manifests(), ({ descriptor }) => descriptor.digest),
    deleted: byDigest(repository.deletedManifests(), ({ descriptor }) => descriptor.digest),
    links: byDigest(repository.links(), ({ digest }) => digest),
    tags: repository.tags(),
    current: repository.tags().map(name => repository.tag(name)),
    history: Array.from(repository.tagsWithHistory())
      .sort()
      .map(name => repository.history(name)),
    tagsOf: digests.map(digest => [...repository.tagsOf(digest)].sort()),
    referrers: digests.map(digest =>
      repository
        .referrers(digest)
        .map(found => found.descriptor.digest)
        .sort(),
    ),
    namedBy: digests.map(digest =>
      repository
        .namedBy(digest)
        .map(found => found.descriptor.digest)
        .sort(),
    ),
  };
}

export class HostedLogRig {
  readonly layout: StoreLayout;
  readonly recorder = new Recorder();
  nowMs = 1_000_000_000_000;

  private constructor(layout: StoreLayout) {
    this.layout = layout;
  }

  static async create(path?: string): Promise<HostedLogRig> {
    return new HostedLogRig(await StoreLayout.open(path ?? (await tempDir())));
  }

  get logs(): HostedLogs {
    return new HostedLogs({ layout: this.layout, observer: this.recorder.observer });
  }

  /** As a process that starts now; all logs are read. */
  async start(): Promise<{ readonly log: LoggedRepositories; readonly references: ReferenceCounts }> {
    const started = this.startNow();
    await started.log.complete;
    return started;
  }

  startNow(): { readonly log: LoggedRepositories; readonly references: ReferenceCounts } {
    const references = new ReferenceCounts();
    const { logger } = this.recorder;
    const log = new LoggedRepositories({ logs: this.logs, references, logger, now: () => this.nowMs });
    return { log, references };
  }

  path(name: Repository = app): string {
    return this.layout.hostedLogPath(name);
  }

  lengthPath(name: Repository = app): string {
    return this.layout.hostedLengthPath(name);
  }
}
