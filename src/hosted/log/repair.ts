/**
 * Rebuilds the log of a closed repository: from the lines that are right, and where lines are lost, from the manifests in the store that
 * belong to it. Says what is lost. Everything is decided before anything is written; the damaged log stays beside the new one.
 */
import type { Digest } from '../../oci/digest.ts';
import { isDigest } from '../../oci/digest.ts';
import type { ParsedManifest } from '../../oci/manifest.ts';
import { maxManifestBytes } from '../../oci/manifest.ts';
import { isDistributable, octetStream } from '../../oci/media-type.ts';
import type { Repository } from '../../oci/name.ts';
import type { BlobStore } from '../../store/blobs/blob-store.ts';
import type { HostedLogs } from '../../store/hosted/hosted-logs.ts';
import { readManifest } from '../../store/records/image-tree.ts';
import { describeManifest, type LoggedManifest, toManifestChange } from '../pushed-manifest.ts';
import type { HostedChange } from './hosted-log.ts';
import { formatLogLine, type LoggedChange, parseLogLine } from './log-line.ts';
import { RepositoryState } from './repository-state.ts';

export interface RepairOptions {
  readonly logs: Pick<HostedLogs, 'open' | 'salvage' | 'damagedPath'>;
  readonly store: Pick<BlobStore, 'open' | 'sizeOf' | 'scan'>;
  /** Another hosted repository links it, or a cached record knows it: it doesn't belong to this one. */
  isOfOthers(digest: Digest): boolean;
  /** No other repository is closed: what belongs to none belongs to this one. */
  readonly isOnlyClosed: boolean;
  /** Milliseconds since the epoch. */
  now(): number;
}

/** Printed as JSON by `cistern repair`. */
export interface LogRepair {
  readonly repository: Repository;
  /** All that it has now. */
  readonly manifests: number;
  readonly tags: number;
  /** Manifests whose lines were lost, found in the store. Their pushers and times are lost. */
  readonly found: readonly Digest[];
  /** Tags that damaged lines name, and that exist no longer. */
  readonly lostTags: readonly string[];
  /** Tags that damaged lines name: they may have pointed elsewhere. */
  readonly doubtfulTags: readonly string[];
  /** Lines are lost that name nothing: there may have been further tags. */
  readonly mayMissTags: boolean;
  /** Where the damaged log is. */
  readonly damagedLog: string;
}

/** What is read of a manifest in the store. */
interface FoundManifest {
  readonly logged: LoggedManifest;
  readonly parsed: ParsedManifest;
}

const digestPattern = /sha(?:256:[a-f0-9]{64}|512:[a-f0-9]{128})/g;

/** Errors: `StoreError`, and then nothing has changed; the signal's reason. */
export async function repairLog(
  name: Repository,
  options: RepairOptions,
  signal: AbortSignal,
): Promise<LogRepair> {
  const { logs, now } = options;
  const { values, damagedLines, isWhole } = await logs.salvage(name);
  const state = new RepositoryState();
  const foreign: unknown[] = [];
  const dropped = new Set<Digest>();
  const damaged = [...damagedLines];
  for (const value of values) {
    const line = parseLogLine(value);
    if (line === undefined) damaged.push(JSON.stringify(value));
    else state.apply(line.changes);
    for (const change of line?.changes ?? []) noteDropped(dropped, change);
    if (line?.foreign !== undefined) foreign.push(line.foreign);
  }
  const found = isWhole ? [] : await findManifests(state, damaged, dropped, options, signal);
  const cause = { at: now(), how: 'repair' } as const;
  for (const { logged } of found) state.apply([toManifestChange(logged, [], cause)]);
  if (!isWhole) state.apply(await findLostLinks(state, damaged, options, signal));
  const damagedLog = logs.damagedPath(name, now());
  const file = logs.open(name);
  await file.replace(
    [...foreign, ...Array.from(state.toChanges(), change => formatLogLine([change]))],
    damagedLog,
  );
  const named = new Set(damaged.flatMap(tagsIn));
  const exists = new Set<string>(state.tags);
  return {
    repository: name,
    manifests: state.manifests.size,
    tags: state.tags.length,
    found: found.map(({ logged }) => logged.descriptor.digest),
    lostTags: [...named].filter(tag => !exists.has(tag)).sort(),
    doubtfulTags: [...named].filter(tag => exists.has(tag)).sort(),
    mayMissTags: !isWhole && (damaged.length === 0 || named.size === 0),
    damagedLog,
  };
}

/** Those that damaged lines name, and those of the store that belong to no other repository. */
async function findManifests(
  state: RepositoryState,
  damaged: readonly string[],
  dropped: ReadonlySet<Digest>,
  options: RepairOptions,
  signal: AbortSignal,
): Promise<readonly FoundManifest[]> {
  const { store, isOnlyClosed, isOfOthers } = options;
  const found = new Map<Digest, FoundManifest>();
  const isKnown = (digest: Digest) =>
    found.has(digest) || dropped.has(digest) || state.manifests.has(digest) || state.deleted.has(digest);
  for (const digest of damaged.flatMap(digestsIn)) {
    const manifest = isKnown(digest) ? undefined : await readFound(store, digest);
    if (manifest !== undefined) found.set(digest, manifest);
  }
  for await (const { digest, size } of store.scan()) {
    signal.throwIfAborted();
    if (size > maxManifestBytes || isKnown(digest) || isOfOthers(digest)) continue;
    const manifest = await readFound(store, digest);
    if (manifest === undefined) continue;
    const isOurs = isOnlyClosed || manifest.logged.names.some(name => state.links.has(name));
    if (isOurs) found.set(digest, manifest);
  }
  return [...found.values()];
}

/** Undefined: not held, damaged, or no image and no index. */
async function readFound(store: RepairOptions['store'], digest: Digest): Promise<FoundManifest | undefined> {
  const held = await readManifest(store, { digest, mediaType: octetStream });
  if (held === undefined || held.parsed.kind === 'other') return undefined;
  const { mediaType } = held.parsed;
  const logged = describeManifest({ digest, mediaType, size: held.size }, held.parsed);
  return { logged, parsed: held.parsed };
}

/**
 * Blobs whose links were in damaged lines: those that these lines say, and those of images, which were taken only with their blobs. The
 * children of an index may never have been here, so they are not linked for it.
 */
async function findLostLinks(
  state: RepositoryState,
  damaged: readonly string[],
  { store, now }: RepairOptions,
  signal: AbortSignal,
): Promise<HostedChange[]> {
  const wanted = new Set(damaged.flatMap(linksIn));
  for (const digest of [...state.manifests.keys(), ...state.deleted.keys()]) {
    signal.throwIfAborted();
    wanted.add(digest);
    const { config, layers = [] } = (await readFound(store, digest))?.parsed ?? {};
    for (const layer of layers) if (isDistributable(layer.mediaType)) wanted.add(layer.digest);
    if (config !== undefined) wanted.add(config.digest);
  }
  const links: HostedChange[] = [];
  for (const digest of wanted) {
    const size = state.links.has(digest) ? undefined : await store.sizeOf(digest);
    if (size !== undefined) links.push({ type: 'link', digest, size, at: now(), how: 'repair' });
  }
  return links;
}

/** A collection has decided that it goes. */
function noteDropped(dropped: Set<Digest>, change: LoggedChange): void {
  if (change.type === 'drop-manifest') dropped.add(change.digest);
  else if (change.type === 'manifest') dropped.delete(change.descriptor.digest);
}

function digestsIn(line: string): readonly Digest[] {
  return Array.from(line.matchAll(digestPattern), ([digest]) => digest).filter(isDigest);
}

function linksIn(line: string): readonly Digest[] {
  const links = line.matchAll(/"type":"link","digest":"([^"]+)"/g);
  return Array.from(links, ([, digest = '']) => digest).filter(isDigest);
}

/** In `"tag":"…"` and `"tags":["…"]`. */
function tagsIn(line: string): readonly string[] {
  const lists = Array.from(line.matchAll(/"tags":\[([^\]]*)\]/g), ([, list = '']) => list);
  const inLists = lists.flatMap(list =>
    Array.from(list.matchAll(/"([\w][\w.-]{0,127})"/g), ([, tag = '']) => tag),
  );
  const alone = Array.from(line.matchAll(/"tag":"([\w][\w.-]{0,127})"/g), ([, tag = '']) => tag);
  return [...inLists, ...alone];
}
