/** What a start on a terminal says when the mirror is ready: where it is, what it mirrors, and what to do next. */
import { basename, relative } from 'node:path';
import type { Config } from '../config/config.ts';
import { formatBytes, formatTable } from '../lib/format.ts';

export interface BannerOptions {
  readonly version: string;
  /** At least one. */
  readonly urls: readonly string[];
  readonly config: Pick<Config, 'upstreams' | 'defaultUpstream' | 'offline' | 'store'>;
  readonly cacheLimit: { readonly bytes: number; readonly reason: string };
  /** How this user calls the command line: `cistern`. */
  readonly command: string;
}

export function formatBanner({ version, urls, config, cacheLimit, command }: BannerOptions): string {
  const upstreams = [...config.upstreams.keys()].join(', ');
  const limit = Number.isFinite(cacheLimit.bytes) ? `at most ${formatBytes(cacheLimit.bytes)}` : 'no limit';
  const rows = [
    ['address', urls.join(', ')],
    ['upstreams', config.offline ? `${upstreams} (offline: none is asked)` : upstreams],
    ['limit', `${limit} in ${config.store.path} (${cacheLimit.reason})`],
    ['page', `${urls[0]}/`],
    ['next', `${command} client docker`],
  ];
  return `\nCistern ${version} is ready. Ctrl-C ends it.\n\n${formatTable(rows.map(row => ['', ...row]))}\n`;
}

/** `script`: as Node was told it. An installed command is a link with its own name. */
export function commandName(script: string, cwd: string): string {
  if (basename(script) === 'cistern') return 'cistern';
  return `node ${relative(cwd, script) || script}`;
}
