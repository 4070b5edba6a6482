/** What Cistern is meant to reach, row by row, as ratios of figures that the bench keeps. A figure that isn't there makes a part `NaN`: not measured. */
import type { SavedTable } from './saved-table.ts';

/** A median: by title of the table, row and column. NaN when there is none. */
export type Figure = (table: string, row: string, column: string) => number;

export interface Part {
  readonly what: string;
  readonly value: number;
  readonly atMost?: number;
  readonly atLeast?: number;
  /** Behind the number. */
  readonly unit: string;
}

export interface Goal {
  readonly row: string;
  readonly parts: readonly Part[];
}

export function figuresOf(tables: readonly SavedTable[]): Figure {
  const byTitle = new Map(tables.map(table => [table.title, table.medians]));
  return (table, row, column) => byTitle.get(table)?.[row]?.[column] ?? Number.NaN;
}

export function isMet({ value, atMost, atLeast }: Part): boolean {
  return value <= (atMost ?? Number.POSITIVE_INFINITY) && value >= (atLeast ?? Number.NEGATIVE_INFINITY);
}

type Bound = Pick<Part, 'atMost' | 'atLeast'>;

export function goalsOf(figure: Figure): readonly Goal[] {
  /** Of one table: a column of one row over that of another. */
  const ratios =
    (table: string) =>
    (row: string, other: string) =>
    (what: string, column: string, bound: Bound): Part => ({
      what,
      value: figure(table, row, column) / figure(table, other, column),
      unit: '×',
      ...bound,
    });
  const plain = (what: string, value: number, unit: string, bound: Bound): Part => ({
    what,
    value,
    unit,
    ...bound,
  });
  const hot = ratios('A hot blob of 103 MB');
  const tls = ratios('A hot blob of 103 MB over TLS');
  const cold = ratios('A cold blob of 103 MB');
  const slow = ratios('A cold blob of 120 MB from an upstream of 40 MB/s');
  const image = ratios('A cold pull of eight layers by skopeo');
  const far = ratios('Over 80 ms, 25 MB/s a connection');
  const manifest = ratios('A hot manifest');
  const push = ratios('Pushes');
  const clientsOf = [1, 4] as const;
  const coldMb = (clients: number) =>
    plain('VmHWM', figure('A cold blob of 103 MB', `Cistern, ${clients} clients`, 'VmHWM MB'), ' MB', {
      atMost: 150,
    });
  const coldBytes = (clients: number) =>
    plain(
      'upstream bytes',
      figure('A cold blob of 103 MB', `Cistern, ${clients} clients`, 'upstream bytes'),
      '×',
      { atMost: 1.005 },
    );
  const coldBy = (clients: number) =>
    cold(`Cistern, ${clients} clients`, `docker-registry, ${clients} clients`);
  const beside = (row: string) => figure('Hot manifests beside evictions', row, 'p99 ms');
  const evicting = beside('while 20 cold pulls evict');
  const blobs = '1000000 sparse files: a start of the mirror';
  return [
    ...clientsOf.map(clients => {
      const of = hot(`nginx with accel, and Cistern, ${clients} clients`, `nginx, ${clients} clients`);
      return {
        row: `hot blob by nginx with accel, ${clients} clients, over nginx alone`,
        parts: [of('GB/s', 'GB/s', { atLeast: 0.9 }), of('CPU', 'CPU s/GB', { atMost: 1.3 })],
      };
    }),
    ...clientsOf.map(clients => {
      const [row, over] = [`Cistern, ${clients} clients`, `docker-registry, ${clients} clients`];
      return {
        row: `hot blob, ${clients} clients, over docker-registry`,
        parts: [
          hot(row, over)('GB/s', 'GB/s', { atLeast: 1.8 }),
          hot(row, over)('CPU', 'CPU s/GB', { atMost: 0.6 }),
          hot(row, `nginx, ${clients} clients`)('GB/s over nginx', 'GB/s', { atLeast: 0.5 }),
        ],
      };
    }),
    ...clientsOf.map(clients => {
      const of = tls(`Cistern, ${clients} clients`, `distribution 3, ${clients} clients`);
      return {
        row: `hot blob over TLS, ${clients} clients, over distribution 3`,
        parts: [of('GB/s', 'GB/s', { atLeast: 1 })],
      };
    }),
    {
      row: 'cold blob, 1 client, over docker-registry',
      parts: [coldBy(1)('wall', 'seconds', { atMost: 1.5 }), coldBy(1)('CPU', 'CPU s', { atMost: 1 })],
    },
    {
      row: 'cold blob, 8 clients, over docker-registry',
      parts: [
        coldBy(8)('wall', 'seconds', { atMost: 0.8 }),
        coldBy(8)('CPU', 'CPU s', { atMost: 0.8 }),
        coldBytes(8),
      ],
    },
    {
      row: 'cold blob, 50 clients, over docker-registry',
      parts: [
        coldBy(50)('wall', 'seconds', { atMost: 0.6 }),
        coldBy(50)('CPU', 'CPU s', { atMost: 0.6 }),
        coldBytes(50),
        coldMb(50),
      ],
    },
    {
      row: 'cold blob from 40 MB/s: the last of 8 clients over one client',
      parts: [slow('Cistern, 8 clients', 'Cistern, 1 clients')('wall', 'seconds', { atMost: 1.25 })],
    },
    {
      row: 'cold image of eight layers by skopeo, over direct',
      parts: [
        image('Cistern, cold', 'direct')('wall', 'seconds', { atMost: 1.3 }),
        image('Cistern, cold, 1 Gbit/s', 'direct, 1 Gbit/s')('at 1 Gbit/s', 'seconds', { atMost: 1.05 }),
      ],
    },
    {
      row: 'over 80 ms, 25 MB/s a connection: distribution 3 over Cistern',
      parts: [
        far('distribution 3, a layer of 100 MB', 'Cistern, a layer of 100 MB')('a layer', 'seconds', {
          atLeast: 3,
        }),
        far('distribution 3, four layers, 86 MB', 'Cistern, four layers, 86 MB')('an image', 'seconds', {
          atLeast: 1.5,
        }),
      ],
    },
    {
      row: 'first byte of a cold blob, over direct',
      parts: [
        plain(
          'more',
          figure('The first byte of a cold blob of 4 MB', 'Cistern, cold', 'ms') -
            figure('The first byte of a cold blob of 4 MB', 'direct', 'ms'),
          ' ms',
          { atMost: 3 },
        ),
      ],
    },
    {
      row: 'hot manifest by tag, 32 connections, over bare Koa',
      parts: [
        manifest('Cistern, no access log, by tag', 'Koa, bare')('rate', 'requests/s', { atLeast: 0.9 }),
        manifest('Cistern, access log, by tag', 'Koa, bare')('with the access log', 'requests/s', {
          atLeast: 0.7,
        }),
      ],
    },
    {
      row: 'push of one layer of 1 GB, over distribution 3',
      parts: [
        push('Cistern, one layer of 1 GB', 'distribution 3, one layer of 1 GB')('wall', 'seconds', {
          atMost: 1.1,
        }),
        push('Cistern, one layer of 1 GB', 'distribution 3, one layer of 1 GB')('CPU', 'CPU s', {
          atMost: 1.2,
        }),
      ],
    },
    {
      row: '20 pushes of 50 MB at once, over distribution 3 · manifests',
      parts: [
        push('Cistern, 20 layers of 50 MB at once', 'distribution 3, 20 layers of 50 MB at once')(
          'wall',
          'seconds',
          { atMost: 1 },
        ),
        plain('PUTs', figure('Pushes', 'Cistern, 800 manifests', 'a second'), '/s', { atLeast: 500 }),
      ],
    },
    {
      row: 'p99 of hot manifests while 20,000 files are evicted for 20 cold pulls',
      parts: [plain('p99', evicting, ' ms', { atMost: Math.max(10, 5 * beside('idle')) })],
    },
    {
      row: '500 clients of 1 MB/s on one cold blob of 64 MB',
      parts: [
        plain(
          'VmHWM',
          figure('500 clients of 1 MB/s on one cold blob of 64 MB', 'Cistern', 'VmHWM MB'),
          ' MB',
          { atMost: 200 },
        ),
      ],
    },
    {
      row: 'idle, embedded, no users',
      parts: [
        plain('VmRSS', figure('Idle', 'Cistern', 'VmRSS MB'), ' MB', { atMost: 75 }),
        plain('CPU', figure('Idle', 'Cistern', 'CPU %'), ' %', { atMost: 0.1 }),
      ],
    },
    {
      row: 'a million blobs',
      parts: [
        plain('VmRSS', figure(blobs, 'embedded', 'VmRSS MB'), ' MB', { atMost: 215 }),
        plain('longest turn', figure(blobs, 'embedded', 'longest turn ms'), ' ms', { atMost: 10 }),
        plain(
          'fill an empty Redis',
          figure('1000000 blobs, the index alone: steps', 'Redis: fill an empty Redis', 'seconds'),
          ' s',
          { atMost: 15 },
        ),
      ],
    },
  ];
}
