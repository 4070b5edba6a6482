/** What `cistern top` shows of a moment, and how it draws it on a terminal. */
import { EventEmitter } from 'node:events';
import { expect, test } from 'vitest';
import type { StatsReport } from '../../../../src/admin/admin.ts';
import { renderTop } from '../../../../src/cli/top/render-top.ts';
import { Screen } from '../../../../src/cli/top/screen.ts';

type Daemon = NonNullable<StatsReport['daemon']>;

const usage = { pulls: 3, bytes: 2 ** 20, upstreamCounted: 1 };
const digest = `sha256:${'0123456789abcdef'.repeat(4)}`;
const daemon: Daemon = {
  pid: 4711,
  startedAt: '2026-01-01T00:00:00.000Z',
  uptimeSeconds: 7200,
  lru: { backend: 'redis', up: false },
  upstreams: [
    {
      upstream: 'docker.io',
      up: true,
      breakerOpen: false,
      pausedUntil: null,
      rateLimit: 100,
      rateRemaining: 3,
      credentials: 'refused',
    },
  ],
  downloads: [
    {
      digest,
      upstream: 'docker.io',
      repository: 'docker.io/library/app',
      frontBytes: 2 ** 20,
      sizeBytes: 4 * 2 ** 20,
      followers: 2,
      bytesPerSecond: 2 ** 20,
    },
    {
      digest,
      upstream: 'ghcr.io',
      repository: 'ghcr.io/a/b',
      frontBytes: 5,
      sizeBytes: null,
      followers: 0,
      bytesPerSecond: 0,
    },
  ],
  uploads: [
    {
      repository: 'team/app',
      user: 'jo',
      startedAt: '2026-01-01T01:58:00.000Z',
      bytes: 3 * 2 ** 20,
      bytesPerSecond: 1024,
    },
  ],
  scrub: {
    running: { startedAt: '2026-01-01T00:00:00.000Z', files: 1, bytes: 2 ** 19, heldBytes: 2 ** 20 },
    endedAt: null,
    damagedFiles: 2,
    damaged: [],
  },
  requests: { hit: 6, miss: 2, joined: 0, stale: 0, passthrough: 0, error: 0 },
  servedBytes: 10 * 2 ** 20,
  upstreamBytes: 2 ** 20,
  hitRatio: { requests: 0.75, bytes: null },
  evictions: { blobs: 0, bytes: 0 },
  clients: [
    { address: '10.0.0.1', hour: usage, day: usage },
    { address: '10.0.0.2', hour: { ...usage, bytes: 1 }, day: { ...usage, pulls: 5, bytes: 2 ** 20 + 7 } },
  ],
};
const report: StatsReport = {
  version: '1.2.3',
  store: {
    bytes: 2 ** 20,
    blobs: 7,
    limitBytes: 4 * 2 ** 20,
    limitReason: 'max_size',
    freeBytes: null,
    partialBytes: 0,
    pinnedBytes: 0,
    scanned: true,
  },
  daemon,
};
const earlier: StatsReport = {
  ...report,
  daemon: {
    ...daemon,
    requests: { ...daemon.requests, hit: 2 },
    servedBytes: 6 * 2 ** 20,
    clients: [
      { address: '10.0.0.1', hour: usage, day: usage },
      { address: '10.0.0.2', hour: usage, day: usage },
    ],
  },
};

test('rates are those since the sample before, and who does most now comes first', () => {
  expect(renderTop({ atMs: 3000, report }, { atMs: 1000, report: earlier })).toBe(`\
cistern 1.2.3, process 4711, running for 2 h, LRU index (redis) away
2 requests/s, 2.0 MiB/s served, 0 B/s from upstreams, 75.0 % of requests answered from here
store [====------------]  25 % 1.0 MiB of 4.0 MiB, 7 blobs
scrub [========--------]  50 % 512 KiB of 1.0 MiB, 2 PUSHED FILES ARE DAMAGED: see cistern scrub

DOWNLOAD             FROM                   PROGRESS                     SIZE      SPEED  LEFT  FOLLOWERS
sha256:0123456789ab  docker.io/library/app  [====------------]  25 %  4.0 MiB  1.0 MiB/s   3 s          2
sha256:0123456789ab  ghcr.io/a/b            5 B                             ?      0 B/s     ?          0

UPLOAD TO  USER    BYTES      SPEED    FOR
team/app   jo    3.0 MiB  1.0 KiB/s  2 min

CLIENT    PULLS  BYTES  PULLS/H  BYTES/H  COUNTED/H
10.0.0.2      2    7 B        3      1 B          1
10.0.0.1      0    0 B        3  1.0 MiB          1

UPSTREAM   STATE                    PULL LIMIT
docker.io  up, credentials refused  3 of 100 left
`);
});

test('the first sample has sums instead of rates, and so has one after a restart of the daemon', () => {
  const line = '8 requests, 10.0 MiB served, 1.0 MiB from upstreams, 75.0 % of requests answered from here';
  expect(renderTop({ atMs: 0, report }, undefined).split('\n')[1]).toBe(line);
  const other: StatsReport = { ...report, daemon: { ...daemon, pid: 1 } };
  expect(renderTop({ atMs: 1, report }, { atMs: 0, report: other }).split('\n')[1]).toBe(line);
});

test('what there is none of has no table, and long tables are cut', () => {
  const quiet: Daemon = {
    ...daemon,
    lru: { backend: 'embedded', up: true },
    downloads: [],
    uploads: [],
    scrub: { running: null, endedAt: '2026-01-01T00:00:00.000Z', damagedFiles: 0, damaged: [] },
    clients: Array.from({ length: 13 }, (_, index) => ({
      address: `10.0.1.${index}`,
      hour: usage,
      day: usage,
    })),
  };
  const text = renderTop({ atMs: 0, report: { ...report, daemon: quiet } }, undefined);
  expect(text).not.toMatch(/DOWNLOAD|UPLOAD TO|away/);
  expect(text).toContain('scrub done 2026-01-01T00:00:00.000Z\n');
  expect(text).toContain('and 3 more\n');
});

class Keyboard extends EventEmitter {
  readonly isTTY = true;
  readonly modes: boolean[] = [];
  isPaused = false;

  setRawMode(isRaw: boolean): void {
    this.modes.push(isRaw);
  }

  pause(): void {
    this.isPaused = true;
  }
}

test('a screen is cut to the terminal, ends by its keys alone, and leaves the terminal as it was', () => {
  const keyboard = new Keyboard();
  const written: string[] = [];
  const output = { isTTY: true, columns: 5, rows: 2, write: (text: string) => written.push(text) };
  let ends = 0;
  const screen = new Screen(keyboard, output, () => {
    ends += 1;
  });
  screen.draw('1234567\nab\nc\n');
  expect(written).toEqual([
    '\u001b[?1049h\u001b[?25l\u001b[?7l',
    '\u001b[H12345\u001b[K\r\nab\u001b[K\u001b[J',
  ]);
  for (const keys of ['x', '\u001b[A', ' ']) keyboard.emit('data', Buffer.from(keys));
  expect(ends).toBe(0);
  for (const keys of ['q', 'Q', '\u0003', '\u001b']) keyboard.emit('data', Buffer.from(keys));
  expect(ends).toBe(4);
  screen.close();
  screen.close();
  expect(written.slice(2)).toEqual(['\u001b[?7h\u001b[?25h\u001b[?1049l']);
  expect([keyboard.modes, keyboard.isPaused, keyboard.listenerCount('data')]).toEqual([
    [true, false],
    true,
    0,
  ]);
});
