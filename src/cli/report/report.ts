/** `cistern report`: what the mirror answered, fetched and saved, by upstream, and what it did in vain. */
import type { UpstreamUsage, UsageReport } from '../../admin/usage-report.ts';
import { formatBytes, formatShare, formatTable, msPerUnit } from '../../lib/format.ts';
import { type AdminOptions, withAdmin, writeReport } from '../admin-client.ts';
import { CommandError } from '../command-line.ts';

export interface ReportCommand extends AdminOptions {
  /** `30d`, `12h`, or a time such as 2026-11-01. */
  readonly since: string;
  /** Of a GB that was not fetched; absent: no sum is told. */
  readonly price?: string;
}

const gigabyte = 1e9;
const shownImages = 10;

/** Resolves with the exit code. */
export function runReport(options: ReportCommand): Promise<number> {
  return withAdmin(options, {
    isChange: false,
    check: () => {
      parseSince(options.since, Date.now());
      parsePrice(options.price);
    },
    run: async (admin, signal) => {
      const price = parsePrice(options.price);
      const report = await admin.report(parseSince(options.since, Date.now()), signal);
      const saved = sum(report.upstreams, 'savedBytes');
      const money =
        price === undefined ? {} : { price, saved: Math.round((saved / gigabyte) * price * 100) / 100 };
      writeReport(options, { ...report, ...money }, render);
      return 0;
    },
  });
}

/** Milliseconds since the epoch. Errors: `CommandError`. */
function parseSince(text: string, nowMs: number): number {
  const [, number, unit = ''] = /^(\d+(?:\.\d+)?)([mhdw])$/.exec(text) ?? [];
  const unitMs = unit === 'w' ? 7 * (msPerUnit.get('d') ?? 0) : msPerUnit.get(unit);
  const ms =
    number === undefined || unitMs === undefined ? Date.parse(text) : nowMs - Number(number) * unitMs;
  if (!Number.isNaN(ms)) return Math.max(0, ms);
  throw new CommandError(`expected --since with 30d, 12h or a time such as 2026-11-01, got ${text}`, 'USAGE');
}

function parsePrice(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const price = Number(text);
  if (text.trim() !== '' && Number.isFinite(price) && price >= 0) return price;
  throw new CommandError(`expected --price with a number such as 0.09, got ${text}`, 'USAGE');
}

interface PricedReport extends UsageReport {
  readonly price?: number;
  readonly saved?: number;
}

function render(report: PricedReport): string {
  const { since, upstreams, price, saved } = report;
  if (upstreams.length === 0)
    return `nothing was pulled from upstreams since ${since}\n${renderFates(report)}`;
  const rows = upstreams.map(rowOf);
  if (rows.length > 1) rows.push(rowOf(totalOf(upstreams)));
  const pulls = sum(upstreams, 'pulls') - sum(upstreams, 'counted');
  const money = price === undefined ? '' : `, which is ${saved?.toFixed(2)} at ${price} per GB`;
  return [
    `since ${since}\n\n`,
    formatTable([head, ...rows], [1, 2, 3, 4, 5, 6]),
    `\nnot fetched: ${formatBytes(sum(upstreams, 'savedBytes'))}${money}\n`,
    `not counted in pull limits: ${pulls} of ${sum(upstreams, 'pulls')} manifests\n`,
    renderFates(report),
  ].join('');
}

const head = ['UPSTREAM', 'PULLS', 'COUNTED', 'SERVED', 'FETCHED', 'SAVED', 'HITS'];

function rowOf(usage: UpstreamUsage): string[] {
  const { upstream, pulls, counted, requests, hits, servedBytes, fetchedBytes, savedBytes } = usage;
  const bytes = [servedBytes, fetchedBytes].map(formatBytes);
  const share = formatShare(requests === 0 ? null : hits / requests);
  return [upstream, String(pulls), String(counted), ...bytes, formatSigned(savedBytes), share];
}

function formatSigned(bytes: number): string {
  return bytes < 0 ? `-${formatBytes(-bytes)}` : formatBytes(bytes);
}

function renderFates({ upstreams, pulledOnce, failedOffline }: UsageReport): string {
  const lines: string[] = [];
  const early = sum(upstreams, 'evictedTooEarly');
  if (early > 0)
    lines.push(
      `evicted too early: ${early} ${early === 1 ? 'blob' : 'blobs'} (${formatBytes(sum(upstreams, 'evictedTooEarlyBytes'))}) were needed again within a week; more store.max_size helps`,
    );
  if (pulledOnce.images > 0)
    lines.push(`never pulled again: ${pulledOnce.images} of the images that were fetched`);
  for (const { repository, tags, digest } of pulledOnce.listed.slice(0, shownImages))
    lines.push(`  ${repository}${tags.length === 0 ? `@${digest}` : `:${tags.join(', :')}`}`);
  if (pulledOnce.images > shownImages)
    lines.push(`  and ${pulledOnce.images - shownImages} more: --json lists them`);
  if (failedOffline.length > 0) lines.push('failed while the upstream was away:');
  for (const { repository, reference, times } of failedOffline.slice(0, shownImages))
    lines.push(
      `  ${repository}${reference.includes(':') ? '@' : ':'}${reference}  ${times} ${times === 1 ? 'request' : 'requests'}`,
    );
  if (failedOffline.length > shownImages)
    lines.push(`  and ${failedOffline.length - shownImages} more: --json lists them`);
  return lines.map(line => `${line}\n`).join('');
}

function totalOf(upstreams: readonly UpstreamUsage[]): UpstreamUsage {
  const of = (key: NumberKey) => sum(upstreams, key);
  return {
    upstream: 'all',
    pulls: of('pulls'),
    counted: of('counted'),
    requests: of('requests'),
    hits: of('hits'),
    servedBytes: of('servedBytes'),
    fetchedBytes: of('fetchedBytes'),
    savedBytes: of('savedBytes'),
    evictedTooEarly: of('evictedTooEarly'),
    evictedTooEarlyBytes: of('evictedTooEarlyBytes'),
  };
}

type NumberKey = Exclude<keyof UpstreamUsage, 'upstream'>;

function sum(upstreams: readonly UpstreamUsage[], key: NumberKey): number {
  return upstreams.reduce((total, usage) => total + usage[key], 0);
}
