/** What `cistern top` shows of one moment. Rates are those since the sample before; the first one has averages where there are any. */
import type {
  ClientReport,
  DaemonReport,
  DownloadReport,
  StatsReport,
  UploadReport,
  UpstreamReport,
} from '../../admin/admin.ts';
import { formatBytes, formatShare, formatSpan, formatTable } from '../../lib/format.ts';

export interface Sample {
  /** Milliseconds on any clock that doesn't go back. */
  readonly atMs: number;
  readonly report: StatsReport;
}

const maxRows = 10;
const barWidth = 16;
const shownHex = 12;

export function renderTop(now: Sample, before: Sample | undefined): string {
  const { version, store, daemon } = now.report;
  if (daemon === null) return `cistern ${version}: no daemon runs\n`;
  const parts = [
    `${headLine(version, daemon)}\n${trafficLine(now, before)}\n${storeLine(store)}\n${scrubLine(daemon)}`,
    table(
      ['DOWNLOAD', 'FROM', 'PROGRESS', 'SIZE', 'SPEED', 'LEFT', 'FOLLOWERS'],
      daemon.downloads.map(downloadRow),
      [3, 4, 5, 6],
    ),
    table(['UPLOAD TO', 'USER', 'BYTES', 'SPEED', 'FOR'], daemon.uploads.map(uploadRow(now)), [2, 3, 4]),
    table(
      ['CLIENT', 'PULLS', 'BYTES', 'PULLS/H', 'BYTES/H', 'COUNTED/H'],
      clientRows(daemon.clients ?? [], clientsOf(before)),
      [1, 2, 3, 4, 5],
    ),
    table(['UPSTREAM', 'STATE', 'PULL LIMIT'], daemon.upstreams.map(upstreamRow)),
  ];
  return parts.filter(part => part !== '').join('\n');
}

function headLine(version: string, { pid, uptimeSeconds, lru }: DaemonReport): string {
  const away = lru.up ? '' : `, LRU index (${lru.backend}) away`;
  return `cistern ${version}, process ${pid}, running for ${formatSpan(1000 * uptimeSeconds)}${away}`;
}

function trafficLine(now: Sample, before: Sample | undefined): string {
  const daemon = now.report.daemon;
  if (daemon === null) return '';
  const { requests, servedBytes, upstreamBytes, hitRatio } = daemon;
  const all = `${formatShare(hitRatio.requests)} of requests answered from here`;
  const last = before?.report.daemon;
  if (before === undefined || last === undefined || last?.pid !== daemon.pid)
    return `${sum(requests)} requests, ${formatBytes(servedBytes)} served, ${formatBytes(upstreamBytes)} from upstreams, ${all}`;
  const seconds = Math.max(0.001, (now.atMs - before.atMs) / 1000);
  const perSecond = (value: number, earlier: number) => Math.max(0, value - earlier) / seconds;
  return [
    `${Math.round(perSecond(sum(requests), sum(last.requests)))} requests/s`,
    `${formatBytes(perSecond(servedBytes, last.servedBytes))}/s served`,
    `${formatBytes(perSecond(upstreamBytes, last.upstreamBytes))}/s from upstreams`,
    all,
  ].join(', ');
}

function storeLine({ bytes, blobs, limitBytes }: StatsReport['store']): string {
  if (limitBytes === null || limitBytes === 0) return `store ${formatBytes(bytes)}, ${blobs} blobs`;
  const share = bytes / limitBytes;
  return `store ${bar(share)} ${formatBytes(bytes)} of ${formatBytes(limitBytes)}, ${blobs} blobs`;
}

function scrubLine({ scrub }: DaemonReport): string {
  const { running, endedAt, damagedFiles } = scrub;
  const damaged = damagedFiles === 0 ? '' : `, ${damagedFiles} PUSHED FILES ARE DAMAGED: see cistern scrub`;
  if (running === null) return `scrub ${endedAt === null ? 'not done yet' : `done ${endedAt}`}${damaged}\n`;
  const { bytes, heldBytes } = running;
  const total = Math.max(bytes, heldBytes);
  return `scrub ${bar(total === 0 ? 0 : bytes / total)} ${formatBytes(bytes)} of ${formatBytes(total)}${damaged}\n`;
}

function downloadRow({
  digest,
  repository,
  upstream,
  frontBytes,
  sizeBytes,
  bytesPerSecond,
  followers,
}: DownloadReport): string[] {
  const left = sizeBytes === null ? undefined : sizeBytes - frontBytes;
  return [
    digest?.slice(0, digest.indexOf(':') + 1 + shownHex) ?? '?',
    repository ?? upstream,
    sizeBytes === null ? formatBytes(frontBytes) : bar(sizeBytes === 0 ? 1 : frontBytes / sizeBytes),
    sizeBytes === null ? '?' : formatBytes(sizeBytes),
    `${formatBytes(bytesPerSecond)}/s`,
    left === undefined || bytesPerSecond === 0 ? '?' : formatSpan((1000 * left) / bytesPerSecond),
    String(followers),
  ];
}

function uploadRow({ report }: Sample): (upload: UploadReport) => string[] {
  const startedMs = Date.parse(report.daemon?.startedAt ?? '');
  const nowMs = startedMs + 1000 * (report.daemon?.uptimeSeconds ?? 0);
  return ({ repository, user, bytes, bytesPerSecond, startedAt }) => [
    repository ?? '?',
    user ?? '-',
    formatBytes(bytes),
    `${formatBytes(bytesPerSecond)}/s`,
    formatSpan(nowMs - Date.parse(startedAt)),
  ];
}

/** Those that did most since the sample before come first. */
function clientRows(
  clients: readonly ClientReport[],
  earlier: ReadonlyMap<string, ClientReport>,
): string[][] {
  const rows = clients.map(client => {
    const last = earlier.get(client.address);
    const since = (key: 'pulls' | 'bytes') =>
      last === undefined ? 0 : Math.max(0, client.day[key] - last.day[key]);
    return { client, pulls: since('pulls'), bytes: since('bytes') };
  });
  rows.sort((one, other) => other.bytes - one.bytes || other.client.hour.bytes - one.client.hour.bytes);
  return rows.map(({ client: { address, hour }, pulls, bytes }) => [
    address,
    String(pulls),
    formatBytes(bytes),
    String(hour.pulls),
    formatBytes(hour.bytes),
    String(hour.upstreamCounted),
  ]);
}

function clientsOf(sample: Sample | undefined): ReadonlyMap<string, ClientReport> {
  return new Map((sample?.report.daemon?.clients ?? []).map(client => [client.address, client]));
}

function upstreamRow(upstream: UpstreamReport): string[] {
  const { breakerOpen, up, pausedUntil, rateLimit, rateRemaining, credentials } = upstream;
  const state = breakerOpen ? 'away' : up === null ? 'not asked yet' : up ? 'up' : 'failed';
  const paused = pausedUntil === null ? '' : `, paused until ${pausedUntil}`;
  const refused = credentials === 'refused' ? ', credentials refused' : '';
  const limit = rateLimit === null ? '-' : `${rateRemaining ?? '?'} of ${rateLimit} left`;
  return [upstream.upstream, `${state}${paused}${refused}`, limit];
}

/** Empty without rows. */
function table(head: readonly string[], rows: readonly string[][], right: readonly number[] = []): string {
  if (rows.length === 0) return '';
  const more = rows.length > maxRows ? `and ${rows.length - maxRows} more\n` : '';
  return `${formatTable([head, ...rows.slice(0, maxRows)], right)}${more}`;
}

/** `[=====-----------]  33 %`. */
function bar(share: number): string {
  const filled = Math.round(barWidth * Math.min(1, Math.max(0, share)));
  const percent = `${Math.floor(100 * share)} %`.padStart(5);
  return `[${'='.repeat(filled)}${'-'.repeat(barWidth - filled)}] ${percent}`;
}

function sum(counts: Readonly<Record<string, number>>): number {
  return Object.values(counts).reduce((total, count) => total + count, 0);
}
