/**
 * What the commands over tags need: history, restore and retention over the log and the store, so that they work without a daemon too;
 * promotion and the retention of every hour over the parts of a daemon.
 */
import { imageHostsOf } from '../../admin/image-name.ts';
import { type HostedTags, TagCommands } from '../../admin/tag-commands.ts';
import type { PullThroughCache } from '../../cached/pull-through-cache.ts';
import type { Config } from '../../config/config.ts';
import { ImmutableTags } from '../../hosted/immutable-tags.ts';
import { Promotion } from '../../hosted/promotion.ts';
import { Retention } from '../../hosted/retention.ts';
import { AppliedRetention, type AppliedRetentionOptions } from '../../hosted/tags/apply-retention.ts';
import { TagRestore, type TagRestoreOptions } from '../../hosted/tags/restore.ts';
import { describeHistory } from '../../hosted/tags/tag-history.ts';
import type { Repository } from '../../oci/name.ts';
import type { RegistryReader } from '../../registry/registry.ts';
import type { Logger } from '../../telemetry/logger.ts';
import type { CollectionObserver } from '../../telemetry/observer.ts';
import type { RegistryChange, RegistryEventListener } from '../../telemetry/registry-events.ts';
import type { AppContext } from '../app-context.ts';
import { HourlyJob } from '../ops/hourly-job.ts';
import type { Storage } from '../storage.ts';
import type { OpenedHosted } from './hosted.ts';
import type { HostedContent } from './hosted-log.ts';

export interface HostedTagsParts
  extends Pick<TagRestoreOptions, 'files' | 'readManifest' | 'requireWritable'>,
    Pick<AppliedRetentionOptions, 'flushPulls'> {
  readonly content: HostedContent;
  /** Of what has changed. Absent: none listens. */
  readonly tell?: Tell;
  /** Absent: none counts what goes. */
  readonly observer?: Pick<CollectionObserver, 'collected'>;
  readonly pins: { isPinned: AppliedRetentionOptions['isPinned'] };
  readonly logger: Logger;
  now(): number;
}

/** By a command or by the daemon itself: there is no client. */
type Tell = (name: Repository, change: RegistryChange) => void;

export interface OpenedHostedTags {
  readonly tags: HostedTags;
  readonly retention: AppliedRetention;
  readonly immutable: ImmutableTags;
}

export function createHostedTags(
  { content, pins, tell, observer, ...parts }: HostedTagsParts,
  { hosted }: Pick<Config, 'hosted'>,
): OpenedHostedTags {
  const { log, holds, quotas } = content;
  const { undeleteMs } = hosted;
  const immutable = new ImmutableTags(hosted.immutable);
  const restore = new TagRestore({ ...parts, log, holds, quotas, immutable, undeleteMs });
  const retention = new AppliedRetention({
    ...parts,
    log,
    immutable,
    retention: new Retention(hosted.retention),
    isPinned: digest => pins.isPinned(digest),
    onRemoved: (name, tag, from) => {
      observer?.collected('tag', 1);
      tell?.(name, { type: 'tag-moved', tag, from, how: 'retention' });
    },
  });
  const tags: HostedTags = {
    history: async (name, tag) =>
      describeHistory(await log.readRepository(name), tag, { undeleteMs, now: parts.now() }),
    restore: async (name, wanted, by) => {
      const restored = await restore.restore(name, wanted, by);
      const { digest, tags: moved, undeleted } = restored;
      const reference = wanted.tag ?? digest;
      if (moved.length + undeleted.length > 0) tell?.(name, { type: 'restored', reference, digest });
      for (const { tag, from } of moved)
        tell?.(name, { type: 'tag-moved', tag, to: digest, how: 'restore', ...(from && { from }) });
      return restored;
    },
    explainRetention: signal => retention.explain(signal),
  };
  return { tags, retention, immutable };
}

export interface DaemonTagsParts {
  readonly cache: PullThroughCache;
  readonly storage: Storage;
  readonly upstreams: readonly { readonly key: string; readonly registry: RegistryReader }[];
  /** Undefined: nothing is hosted. */
  readonly hosted: OpenedHosted | undefined;
  readonly events: Pick<RegistryEventListener, 'happened'>;
  /** Resolves when the store is scanned. */
  readonly scanned: Promise<void>;
}

const retentionAfterMs = 5 * 60_000;

export async function openTags(
  { cache, storage, upstreams, hosted, events, scanned }: DaemonTagsParts,
  { config, lifecycle, logger, now }: AppContext,
): Promise<TagCommands> {
  const { store, records, pins, downloads, hosted: content } = storage;
  const { files, manifests } = cache.content;
  const known = Promise.all([scanned, content.log.complete]);
  const registries = new Map<string, RegistryReader>(upstreams.map(({ key, registry }) => [key, registry]));
  const commands = (tags: HostedTags | undefined) =>
    new TagCommands({
      hosts: imageHostsOf(config),
      records,
      store,
      hosted: tags,
      registry: host => (host === '' ? hosted?.registry : registries.get(host)),
      ready: async () => void (await known),
      logger,
    });
  if (hosted === undefined) return commands(undefined);
  const { requireWritable, observer } = hosted;
  const readManifest: HostedTagsParts['readManifest'] = (digest, type) => manifests.get(digest, type);
  const tell: Tell = (repository, change) => events.happened({ origin: {}, repository, ...change });
  const { tags, retention, immutable } = createHostedTags(
    {
      content,
      tell,
      observer,
      pins,
      files,
      readManifest,
      requireWritable,
      flushPulls: () => hosted.flushPulls(),
      logger,
      now,
    },
    config,
  );
  if (config.hosted.retention.length > 0)
    await lifecycle.start(
      'retention',
      () =>
        new HourlyJob({
          firstAfterMs: retentionAfterMs,
          run: async signal => {
            await known;
            requireWritable();
            await retention.apply(signal);
          },
          failureMessage: 'retention was not applied',
          logger,
        }),
      part => part.close(),
    );
  const { log, holds, quotas } = content;
  const promotion = new Promotion({
    log,
    store,
    files,
    manifests,
    holds,
    immutable,
    quotas,
    downloaded: digest => downloads.ended(digest),
    requireWritable,
    now,
  });
  return commands({
    ...tags,
    promote: async (source, target, by) => {
      const { descriptor, ...promoted } = await promotion.promote(source, target, by);
      const { name, tag } = target;
      const { digest, from } = promoted;
      tell(name, { type: 'manifest-pushed', reference: tag, descriptor, tags: from === digest ? [] : [tag] });
      if (from !== digest)
        tell(name, { type: 'tag-moved', tag, to: digest, how: 'promote', ...(from && { from }) });
      return promoted;
    },
  });
}
