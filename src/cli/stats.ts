/** `cistern stats`: the statistics of the running daemon, or of the store when no daemon runs; once, or again and again. */
import { setTimeout as delay } from 'node:timers/promises';
import type {
  ClientReport,
  DaemonReport,
  DownloadReport,
  NextReport,
  StatsReport,
  StatsWanted,
  StoreReport,
  UpstreamReport,
} from '../admin/admin.ts';
import { formatBytes, formatShare, formatSpan, formatTable } from '../lib/format.ts';
import { type AdminOptions, withAdmin, writeReport } from './admin-client.ts';
import { renderWarmStats } from './warm/warm-stats.ts';

/** Resolves with the exit code. */
export function runStats(options: AdminOptions, wanted: StatsWanted = {}): Promise<number> {
  return withAdmin(options, {
    isChange: false,
    run: async admin => {
      writeReport(options, await admin.stats(wanted), renderStats);
      return 0;
    },
  });
}

export interface WatchOptions {
  readonly seconds: number;
  /** Each report takes the place of the last one. */
  readonly isTerminal: boolean;
  readonly until: AbortSignal;
  readonly wanted?: StatsWanted;
}

const clearScreen = '\u001b[H\u001b[2J\u001b[3J';

/**
 * The same again and again, from whatever has the store at that moment: a daemon may be restarted meanwhile. With `json` a
 * document is a line. Resolves with 0 at the end, or with the exit code of the first report that fails.
 */
export async function watchStats(
  options: AdminOptions,
  { seconds, isTerminal, until, wanted }: WatchOptions,
): Promise<number> {
  if (!(seconds >= 0.1 && seconds <= 86_400)) {
    options.writeError('error: expected --watch with a number of seconds from 0.1 to 86400\n');
    return 2;
  }
  while (!until.aborted) {
    const code = await withAdmin(options, {
      isChange: false,
      run: async admin => {
        const report = await admin.stats(wanted);
        const text = options.json === true ? `${JSON.stringify(report)}\n` : renderStats(report);
        options.write(options.json === true ? text : isTerminal ? `${clearScreen}${text}` : `${text}\n`);
        return 0;
      },
    });
    if (code !== 0) return code;
    await pause(1000 * seconds, until);
  }
  return 0;
}

/** Shorter when the signal comes. */
async function pause(ms: number, until: AbortSignal): Promise<void> {
  try {
    await delay(ms, undefined, { signal: until });
  } catch (error) {
    if (!until.aborted) throw error;
  }
}

export function renderStats({ version, store, daemon }: StatsReport): string {
  const head = [
    ['version', version],
    ['daemon', daemon === null ? 'not running, figures of the store alone' : describeDaemon(daemon)],
    ...storeRows(store),
  ];
  if (daemon === null) return formatTable(head);
  const { downloads, upstreams, clients, next, warm } = daemon;
  const parts = [
    formatTable([...head, ...countRows(daemon)]),
    formatTable([['UPSTREAM', 'STATE', 'PULL LIMIT'], ...upstreams.map(upstreamRow)]),
  ];
  if (downloads.length > 0)
    parts.push(formatTable([downloadHead, ...downloads.map(downloadRow)], [2, 3, 4, 5]));
  if (clients !== undefined)
    parts.push(formatTable([clientHead, ...clients.map(clientRow)], [1, 2, 3, 4, 5, 6]));
  if (next !== undefined) parts.push(formatTable([nextHead, ...next.map(nextRow)], [1]));
  if (warm !== undefined) parts.push(renderWarmStats(warm));
  return parts.join('\n');
}

function describeDaemon({ pid, uptimeSeconds }: DaemonReport): string {
  return `process ${pid}, running for ${formatSpan(1000 * uptimeSeconds)}`;
}

function storeRows(store: StoreReport): string[][] {
  const limit = store.limitBytes === null ? 'no limit' : `of ${formatBytes(store.limitBytes)}`;
  const free = store.freeBytes === null ? '' : `, ${formatBytes(store.freeBytes)} free on the disk`;
  return [
    ...(store.path === undefined ? [] : [['store', store.path]]),
    [
      'held',
      `${formatBytes(store.bytes)} ${limit}, ${store.blobs} blobs${store.scanned ? '' : ' (still being read)'}`,
    ],
    ['limit', `${store.limitReason}${free}`],
    ['partials', formatBytes(store.partialBytes)],
    ['pinned', formatBytes(store.pinnedBytes)],
  ];
}

function countRows(daemon: DaemonReport): string[][] {
  const { lru, requests, hitRatio, evictions, servedBytes, upstreamBytes } = daemon;
  const outcomes = Object.entries(requests).map(([outcome, number]) => `${number} ${outcome}`);
  return [
    ['LRU index', `${lru.backend}${lru.up ? '' : ', away'}`],
    ['requests', outcomes.join(', ')],
    ['hit ratio', `${formatShare(hitRatio.requests)} of requests, ${formatShare(hitRatio.bytes)} of bytes`],
    ['bytes', `${formatBytes(servedBytes)} served, ${formatBytes(upstreamBytes)} from upstreams`],
    ['evictions', `${evictions.blobs} blobs, ${formatBytes(evictions.bytes)}`],
  ];
}

function upstreamRow({
  upstream,
  up,
  breakerOpen,
  pausedUntil,
  rateLimit,
  rateRemaining,
  credentials,
}: UpstreamReport): string[] {
  const state = breakerOpen ? 'away' : up === null ? 'not asked yet' : up ? 'up' : 'failed';
  const paused = pausedUntil === null ? '' : `, paused until ${pausedUntil}`;
  const limit = rateLimit === null ? '-' : `${rateRemaining ?? '?'} of ${rateLimit} left`;
  const refused = credentials === 'refused' ? ', credentials refused' : '';
  return [upstream, `${state}${paused}${refused}`, limit];
}

const downloadHead = ['DOWNLOAD', 'FROM', 'FRONT', 'SIZE', 'FOLLOWERS', 'SPEED'];

function downloadRow(download: DownloadReport): string[] {
  return [
    download.digest?.slice(0, 'sha256:'.length + 12) ?? '?',
    download.repository ?? download.upstream,
    formatBytes(download.frontBytes),
    download.sizeBytes === null ? '?' : formatBytes(download.sizeBytes),
    String(download.followers),
    `${formatBytes(download.bytesPerSecond)}/s`,
  ];
}

const clientHead = ['CLIENT', 'PULLS/H', 'BYTES/H', 'COUNTED/H', 'PULLS/D', 'BYTES/D', 'COUNTED/D'];

function clientRow({ address, hour, day }: ClientReport): string[] {
  const cells = [hour, day].flatMap(({ pulls, bytes, upstreamCounted }) => [
    String(pulls),
    formatBytes(bytes),
    String(upstreamCounted),
  ]);
  return [address, ...cells];
}

const nextHead = ['EVICTED NEXT', 'SIZE', 'LAST USED'];

function nextRow({ digest, bytes, lastUsedAt }: NextReport): string[] {
  return [digest.slice(0, 'sha256:'.length + 12), formatBytes(bytes), lastUsedAt];
}
