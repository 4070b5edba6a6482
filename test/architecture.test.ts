/**
 * The walls of the house: which room may import what, and why not more (docs/architecture.md has the picture).
 * Imports are read with a regular expression; type imports count, because they tie rooms together all the same.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { expect, test } from 'vitest';

/** A room is a folder of src, a file beside them, or a file of app/, each of which puts together its own part. `node:` modules are free but for the bans below. */
const walls: Readonly<Record<string, { readonly may: string; readonly because: string }>> = {
  oci: {
    may: 'lib',
    because:
      'the wire protocol is pure functions that all rooms stand on; a long walk lets others run (lib/time-slice.ts)',
  },
  lib: {
    may: 'lru-cache p-limit',
    because: 'it holds the few tools that every room needs and knows none of them',
  },
  telemetry: { may: 'oci', because: 'it is types only: pino and prom-client stay exchangeable' },
  config: { may: 'oci lib yaml zod', because: 'no room may depend on where its options come from' },
  registry: {
    may: 'oci telemetry lib',
    because: 'the contract knows none of those who implement or serve it',
  },
  store: { may: 'oci telemetry lib', because: 'bytes by digest know neither recency nor upstreams' },
  content: {
    may: 'oci telemetry lib registry store lru lru-cache',
    because: 'verified reading of held content serves the cache and the hosted registry alike',
  },
  capacity: {
    may: 'oci telemetry lib lru',
    because: 'it counts bytes and decides what goes; it is handed the functions that touch the disk',
  },
  lru: {
    may: 'oci telemetry lib',
    because: 'it gets narrow functions: the index can be lost, the store cannot',
  },
  upstream: {
    may: 'oci telemetry lib registry undici p-limit',
    because: 'a client of one registry keeps nothing',
  },
  cached: {
    may: 'oci telemetry lib registry store lru content capacity lru-cache',
    because: 'it sees upstreams only as RegistryReader and BlobSource, so that a peer or a bucket can be one',
  },
  hosted: {
    may: 'oci telemetry lib registry store lru content capacity',
    because: 'pushes work whatever happens to upstreams',
  },
  notify: {
    may: 'oci telemetry lib store',
    because: 'it tells of what happened, and none of those who do something know it',
  },
  fleet: {
    may: 'oci telemetry lib registry undici',
    because: 'a peer is just another source, and Redis a connection that it is handed',
  },
  auth: {
    may: 'oci lib bcrypt jose ldapts lru-cache',
    because: 'it decides over names, before anything is looked up',
  },
  clients: {
    may: '',
    because: 'it writes the files of clients as text, for the command line, the server and browsers',
  },
  bundle: {
    may: 'oci registry tar-stream',
    because: 'it reads and writes images as files, by the contracts of what holds them, and sends nothing',
  },
  report: {
    may: 'lib telemetry',
    because: 'it adds up what the metrics count, and is handed the file',
  },
  warm: {
    may: 'oci telemetry lib registry admin',
    because: 'it pulls through the cache as a client does, and its reports are those of the command',
  },
  admin: {
    may: 'oci telemetry lib registry store report',
    because: 'commands work on the store alone too: what a daemon knows beside it is handed in',
  },
  overview: {
    may: 'oci telemetry lib registry store hosted capacity admin http',
    because:
      'it answers the questions of the page in the shapes of its API, over records and logs alike; who may know what comes with each question',
  },
  http: {
    may: 'oci telemetry lib admin registry auth koa @koa/router zod',
    because: 'the server serves the contract and knows no implementation; schemas check what it is asked',
  },
  ui: {
    may: 'clients lib http preact @preact/signals uplot',
    because: 'the page runs in a browser, and sees the server only by its API (of http: types of api/schema)',
  },
  tracing: {
    may: 'oci telemetry lib registry @opentelemetry/api @opentelemetry/exporter-trace-otlp-http @opentelemetry/resources @opentelemetry/sdk-trace-node',
    because: 'it watches requests from outside, and no room knows it',
  },
  cli: {
    may: 'oci telemetry lib admin auth bundle clients config registry store commander undici cli-progress yaml app/lifecycle.ts log.ts app/mirror.ts app/store-admin.ts app/upstream-check.ts',
    because: 'commands call the daemon, not its rooms; without one, what app/store-admin.ts puts together',
  },
  'log.ts': { may: 'telemetry pino log-redaction.ts log-text.ts', because: 'a logger knows no room' },
  'log-redaction.ts': { may: '', because: 'it only takes secrets out of text' },
  'log-text.ts': { may: '', because: 'it only makes text of the lines of the log' },
  'log-sink.ts': { may: '', because: 'it only writes lines to where the log goes' },
  metrics: { may: 'telemetry prom-client', because: 'metrics know events, not rooms' },
  redis: {
    may: 'telemetry config ioredis',
    because: 'rooms get it as narrow functions, so that they depend on no client',
  },
  tls: {
    may: 'config store telemetry @peculiar/x509',
    because: 'certificates are files and keys: they know neither HTTP nor who may do what',
  },
  'metrics/metrics.ts': {
    may: 'telemetry prom-client metrics',
    because: 'metrics know events, not rooms',
  },
  'app/lifecycle.ts': { may: 'telemetry', because: 'order of start and stop is told by app/mirror.ts' },
  'app/store-scan.ts': {
    may: 'app/app-context.ts app/storage.ts lib oci lru store cached',
    because: 'it only fills after the start what lru and cached keep in memory',
  },
  'app/app-context.ts': {
    may: 'telemetry config app/lifecycle.ts metrics',
    because: 'it is what all parts are given',
  },
  'app/open-lru.ts': {
    may: 'app/app-context.ts config oci lru redis',
    because: 'it only chooses where the LRU index is, and opens Redis for it and the fleet',
  },
  'app/hosted/hosted-log.ts': {
    may: 'app/app-context.ts config content hosted oci store',
    because: 'what is hosted is known before anything is evicted, whether or not the registry is on',
  },
  'app/storage.ts': {
    may: 'app/app-context.ts cached capacity content lru oci store app/hosted/hosted-log.ts app/open-lru.ts redis lib',
    because: 'what is held is put together without upstreams and doors',
  },
  'app/hosted/hosted.ts': {
    may: 'app/app-context.ts app/hosted/hosted-uploads.ts app/ops/hourly-job.ts app/storage.ts cached content hosted oci registry metrics',
    because: 'the private registry is put together without upstreams and doors',
  },
  'app/hosted/hosted-uploads.ts': {
    may: 'app/app-context.ts app/storage.ts cached content hosted metrics oci store',
    because: 'uploads are put together without upstreams and doors',
  },
  'app/hosted/tags.ts': {
    may: 'app/app-context.ts app/hosted/hosted.ts app/hosted/hosted-log.ts app/ops/hourly-job.ts app/storage.ts admin cached config hosted oci registry telemetry',
    because: 'commands over tags are put together once, for a daemon and for a store without one',
  },
  'app/ops/hourly-job.ts': {
    may: 'lib oci telemetry',
    because: 'it knows when work is due, and not what the work is',
  },
  'app/ops/scrub.ts': {
    may: 'app/app-context.ts app/ops/hourly-job.ts app/storage.ts app/upstreams.ts app/hosted/hosted-log.ts cached content lib metrics oci overview store telemetry',
    because: 'the scrub is the same in a daemon and without one, but for what only a daemon can fetch',
  },
  'app/ops/young-generation.ts': { may: '', because: 'it concerns the process, not the mirror' },
  'app/ops/tracing.ts': {
    may: 'app/app-context.ts metrics tracing version.ts',
    because: 'a mirror without traces loads nothing of them',
  },
  'app/fleet-setup.ts': {
    may: 'app/app-context.ts app/storage.ts fleet metrics redis',
    because: 'a mirror that stands alone loads nothing of it',
  },
  'app/upstreams.ts': {
    may: 'app/app-context.ts app/open-upstream.ts config cached fleet registry upstream',
    because: 'upstreams are put together without disk and doors',
  },
  'app/open-upstream.ts': {
    may: 'app/app-context.ts config oci upstream registry telemetry',
    because: 'it only turns the configuration of an upstream into its options',
  },
  'app/access/open-access.ts': {
    may: 'app/app-context.ts auth config metrics oci store',
    because: 'users, keys and rules come from the configuration and the store, and are handed to listeners',
  },
  'app/listeners.ts': {
    may: 'app/app-context.ts app/page/overview.ts app/page/page-files.ts admin config http metrics oci registry store tls tracing',
    because: 'listeners serve what is composed already, to those whom the configuration allows',
  },
  'app/daily-report.ts': {
    may: 'report store telemetry',
    because: 'it only hands the daily report its file and its counters',
  },
  'app/warm.ts': {
    may: 'app/app-context.ts app/storage.ts app/upstreams.ts admin lib oci warm',
    because: 'what is fetched ahead goes through the composed upstreams and their cache',
  },
  'app/notifications.ts': {
    may: 'app/app-context.ts config lib notify oci store telemetry version.ts',
    because: 'those who are told of events are put together without those who report them',
  },
  'app/reload.ts': {
    may: 'config telemetry',
    because: 'it compares two configurations; what changes is handed to it as functions',
  },
  'app/page/overview.ts': {
    may: 'app/app-context.ts app/daemon-admin.ts app/hosted/hosted.ts app/storage.ts admin auth cached http lib oci overview telemetry',
    because: 'what the page shows is put together from what is composed already, once for all pages',
  },
  'app/page/page-files.ts': {
    may: 'http',
    because: 'it reads the files of the built page; http serves them and touches no disk',
  },
  'app/daemon-admin.ts': {
    may: 'app/app-context.ts app/storage.ts app/upstreams.ts metrics version.ts admin cached content hosted report warm app/hosted.ts app/hosted/hosted.ts',
    because: 'commands are put together from what is composed already',
  },
  'app/hosted/folder-import.ts': {
    may: 'app/upstream-check.ts admin content hosted oci registry store telemetry upstream',
    because: 'an import is the same in a daemon and without one',
  },
  'app/bundle/bundles.ts': {
    may: 'admin bundle content lib oci registry store telemetry',
    because: 'an import of a bundle is the same in a daemon and without one',
  },
  'app/bundle/importers.ts': {
    may: 'app/hosted/hosted-log.ts cached config hosted registry store',
    because: 'mirrored and hosted images are taken over the same way in a daemon and without one',
  },
  'app/bundle/daemon-bundles.ts': {
    may: 'app/app-context.ts app/bundle/bundles.ts app/bundle/importers.ts app/hosted/hosted.ts app/storage.ts admin cached oci registry store',
    because: 'bundles of a daemon are put together from what is composed already',
  },
  'app/store-admin.ts': {
    may: 'app/bundle/bundles.ts app/bundle/importers.ts app/daily-report.ts app/hosted/folder-import.ts app/hosted/hosted-log.ts app/hosted/tags.ts app/ops/scrub.ts cached oci telemetry config admin capacity store version.ts',
    because: 'the composition of a store without a daemon',
  },
  'app/upstream-check.ts': {
    may: 'oci telemetry config registry upstream app/open-upstream.ts',
    because: 'it asks upstreams without a mirror around them',
  },
  'version.ts': { may: '', because: 'it reads one line of package.json' },
  'main.ts': {
    may: 'cli commander version.ts',
    because: 'it only picks the command; everything else loads when used',
  },
  // app/mirror.ts has no row: the composition root may import everything.
};

/**
 * Of rooms with sub-rooms: the files that other rooms may import. There are no barrel files, so this list is the room's front.
 */
const fronts: Readonly<Record<string, { readonly files: string; readonly because: string }>> = {
  auth: {
    files:
      'access.ts identity/credentials.ts identity/htpasswd.ts identity/identity-provider.ts identity/logins.ts identity/open-ldap.ts identity/password-hash.ts refusals.ts rules.ts sessions.ts tokens/scope.ts tokens/token-keys.ts tokens/tokens.ts',
    because:
      'callers are known and their rights decided in one place; where users come from is its own business',
  },
  cached: {
    files:
      'access/links.ts download/downloads.ts fetch-again.ts imported-images.ts manifests/freshness.ts pull-through-cache.ts',
    because: 'the cache is one RegistryReader per upstream; what runs inside it is its own business',
  },
  cli: {
    files: 'command-line.ts commands.ts',
    because: 'main.ts starts commands and nothing else',
  },
  config: {
    files:
      'access-config.ts address.ts certificate.ts config.ts hints/surprises.ts load.ts problem.ts referenced-file.ts suggestion.ts watched-file.ts',
    because: 'the configuration is loaded once, and then a plain value',
  },
  fleet: {
    files: 'fleet.ts',
    because: 'a node is one object, and none of its parts works alone',
  },
  hosted: {
    files:
      'adoption.ts blob-links.ts gc/collector.ts hosted-blobs.ts hosted-catalog.ts hosted-deletes.ts hosted-lists.ts hosted-manifests.ts hosted-registry.ts immutable-tags.ts import/import-report.ts import/import.ts import/imported-images.ts log/hosted-log.ts log/logged-repositories.ts log/reference-counts.ts log/repair.ts promotion.ts pull-times.ts put-manifest.ts quotas.ts read-only.ts retention.ts tags/apply-retention.ts tags/restore.ts tags/tag-history.ts uploads/mounts.ts uploads/uploads.ts',
    because: 'the private registry is one reader and writer; its log and its collection are its own business',
  },
  http: {
    files:
      'api/admin.ts api/schema/actions.ts api/schema/images.ts api/schema/report.ts api/schema/session.ts api/schema/setup.ts api/schema/stats.ts api/schema/transfers.ts api/sources.ts app.ts server/connections.ts server/listener.ts server/tls-contexts.ts ui/serve-page.ts',
    because:
      'the composition starts listeners over apps; handlers are not called from outside; the schema is the words of the API',
  },
  lru: {
    files: 'index/embedded-lru.ts index/rebuild.ts lru.ts redis/redis-entries.ts redis/redis-lru.ts',
    because: 'the index is used through its contract; only the composition chooses an implementation',
  },
  overview: {
    files:
      'actions/action-runs.ts actions/jobs.ts actions/page-actions.ts figures/cold-list.ts figures/figure-history.ts figures/live-samples.ts figures/usage-figures.ts figures/warnings.ts held/blob-uses.ts held/held-content.ts held/held-repositories.ts images/image-details.ts images/image-list.ts images/image-row.ts images/offline-list.ts images/repository-list.ts',
    because:
      'the composition puts the questions of the page together; what a row is made of is its own business',
  },
  store: {
    files:
      'blobs/blob-store.ts blobs/blob-walk.ts blobs/held-blob.ts blobs/quarantine.ts hosted/hosted-logs.ts hosted/log-file.ts import/distribution-folder.ts import/file-adoption.ts ingest/follower.ts ingest/ingest.ts ingest/journal.ts ingest/sweep.ts ingest/window.ts layout.ts line-file.ts owner.ts records/image-tree.ts records/list-files.ts records/pinned-blobs.ts records/records.ts records/repository-record.ts records/tag-history.ts records/unused-records.ts report-file.ts scrub-file.ts secret-file.ts spool/spool.ts store-error.ts tls-files.ts uploads/upload-file.ts uploads/upload-files.ts',
    because: 'content, cache and commands stand on bytes and records; how they are written is private',
  },
  ui: { files: '', because: 'the page is built by itself, from its index.html' },
  upstream: {
    files:
      'auth/credential-command.ts auth/credential-provider.ts health/health.ts prefixed-origin.ts upstream-urls.ts',
    because: 'an upstream is used as an Origin; only the composition opens one',
  },
};

/** Rooms that may touch files beside the files of src itself; `bundle`, `cli` and `config` read only what the user named. */
const fileRooms = /^(?:store|bundle|config|cli|.*\.ts)$/;

const root = join(import.meta.dirname, '..', 'src');
const sources = new Map(
  readdirSync(root, { recursive: true, encoding: 'utf8' })
    .filter(path => /\.tsx?$/.test(path))
    .sort()
    .map(path => [path, readFileSync(join(root, path), 'utf8')]),
);
const imports = new Map(Array.from(sources, ([path, text]) => [path, importsOf(path, text)]));

function withoutComments(text: string): string {
  return text.replace(/^\s*\/\*[\s\S]*?\*\//gm, '').replace(/(?:^|\s)\/\/ .*$/gm, '');
}

/** Paths below src for our own files, module names for others. */
function importsOf(path: string, text: string): string[] {
  const pattern = /\b(?:from|import)\s*\(?\s*(['"])([^'"\n]+)\1/g;
  return Array.from(withoutComments(text).matchAll(pattern), match => match[2] ?? '').map(name =>
    name.startsWith('.') ? normalize(join(dirname(path), name)) : name,
  );
}

function isOwn(name: string): boolean {
  return /\.tsx?$/.test(name);
}

function roomOf(path: string): string {
  const [first = path] = path.split('/');
  return first === 'app' ? path : first;
}

function roomFolder(path: string): string {
  return path.split('/')[0] ?? path;
}

function packageOf(name: string): string {
  return name.split('/', name.startsWith('@') ? 2 : 1).join('/');
}

function breachesOf(path: string, names: readonly string[]): string[] {
  const room = roomOf(path);
  const wall = walls[room];
  if (room === 'app/mirror.ts') return [];
  if (wall === undefined) return [`${path}: ${room} has no row in the table`];
  return names.flatMap(name => {
    if (name.startsWith('node:')) {
      if (room === 'oci' && name !== 'node:crypto')
        return [`${path}: only node:crypto, because ${wall.because}`];
      if (['telemetry', 'ui'].includes(room)) return [`${path}: no ${name}, because ${wall.because}`];
      if (/^node:fs\b/.test(name) && !fileRooms.test(room))
        return [`${path}: no ${name}: bytes on disk belong to store/`];
      return [];
    }
    const target = isOwn(name) ? roomOf(name) : packageOf(name);
    return target === room || wall.may.split(' ').includes(target)
      ? []
      : [`${path}: no ${name}, because ${wall.because}`];
  });
}

function circleThrough(path: string, trail: readonly string[], done: Set<string>): string | undefined {
  if (trail.includes(path)) return [...trail.slice(trail.indexOf(path)), path].join(' -> ');
  if (done.has(path)) return undefined;
  for (const next of (imports.get(path) ?? []).filter(isOwn)) {
    const circle = circleThrough(next, [...trail, path], done);
    if (circle !== undefined) return circle;
  }
  done.add(path);
  return undefined;
}

/** The files of src for which `isBad` holds. */
function filesWhere(isBad: (text: string, path: string) => boolean): string[] {
  return Array.from(sources).flatMap(([path, text]) => (isBad(text, path) ? [path] : []));
}

test('imports are read as TypeScript writes them', () => {
  const text = `import type { A } from '../oci/a.ts';\nimport 'b';\nimport {\n  C,\n} from "@c/d/e";\nexport * from './f.ts';
    const g = await import('node:fs/promises'); // from 'comment'\n/** import 'comment' */\nlet h: typeof import('h');`;
  const expected = ['oci/a.ts', 'b', '@c/d/e', 'store/f.ts', 'node:fs/promises', 'h'];
  expect(importsOf('store/x.ts', text)).toEqual(expected);
  expect(breachesOf('store/x.ts', expected).map(breach => breach.split(',')[0])).toEqual([
    'store/x.ts: no b',
    'store/x.ts: no @c/d/e',
    'store/x.ts: no h',
  ]);
  expect(breachesOf('oci/x.ts', ['node:fs', 'node:crypto', 'telemetry/y.ts'])).toHaveLength(2);
  expect(breachesOf('cached/x.ts', ['node:fs/promises', 'config/config.ts', 'upstream/y.ts'])).toHaveLength(
    3,
  );
  expect(breachesOf('attic/x.ts', [])).toHaveLength(1);
});

test('every room imports only what its row allows', () => {
  expect(imports.get('oci/digest.ts')).toEqual(['node:crypto', 'oci/error.ts']);
  expect(Array.from(imports).flatMap(([path, names]) => breachesOf(path, names))).toEqual([]);
});

test('other rooms import only the front of a room that has sub-rooms', () => {
  const imported = Array.from(imports).flatMap(([path, names]) =>
    names.filter(name => isOwn(name) && roomFolder(name) !== roomFolder(path)),
  );
  for (const [room, { files, because }] of Object.entries(fronts)) {
    const used = new Set(
      imported.filter(name => roomFolder(name) === room).map(name => name.slice(room.length + 1)),
    );
    expect([...used].sort(), because).toEqual(files.split(' ').filter(Boolean).sort());
  }
  const withSubRooms = Array.from(sources.keys())
    .filter(path => path.split('/').length > 2 && roomOf(path) !== path) // a file of app/ is a room of its own
    .map(roomFolder);
  expect(Object.keys(fronts).sort()).toEqual([...new Set(withSubRooms)].sort());
});

test('no file imports itself by way of others', () => {
  const done = new Set<string>();
  expect(Array.from(sources.keys(), path => circleThrough(path, [], done)).filter(Boolean)).toEqual([]);
});

test('only oci/endpoint.ts spells API paths: server and client must not disagree about them', () => {
  const spelled = filesWhere(text => /(?<!\.)\\?\/v2(?:\\?\/|['"`?])/.test(withoutComments(text)));
  // A browser can't load oci/endpoint.ts: what it stands on computes digests. The page asks one manifest, as a check.
  expect(spelled).toEqual(['oci/endpoint.ts', 'ui/state/registry-check.ts']);
});

test('exports have one name everywhere: none is default', () => {
  expect(filesWhere(text => /^export default\b|\bas default\b/m.test(withoutComments(text)))).toEqual([]);
});

test('a file has one job: at most 300 lines, and a name that says it', () => {
  expect(filesWhere(text => text.trimEnd().split('\n').length > 300)).toEqual([]);
  expect(filesWhere((_text, path) => !/^(?:[a-z0-9-]+\/)*[a-z0-9-]+\.tsx?$/.test(path))).toEqual([]);
  expect(
    filesWhere((_text, path) => /\b(?:index|utils?|helpers?|common|misc|types)\.tsx?$/.test(path)),
  ).toEqual([]);
});

test('a folder holds at most 18 files, the server at most 540, the page at most 64, of a median of 90 lines or more', () => {
  const folders = new Map<string, string[]>();
  for (const path of sources.keys())
    folders.set(dirname(path), [...(folders.get(dirname(path)) ?? []), path]);
  expect(Array.from(folders).filter(([, paths]) => paths.length > 18)).toEqual([]);
  // Components of a page are many and small beside the use cases of a server: each has its own bound.
  const ofPage = Array.from(sources.keys()).filter(path => path.startsWith('ui/')).length;
  expect(ofPage).toBeLessThanOrEqual(64);
  expect(sources.size - ofPage).toBeLessThanOrEqual(540);
  const lines = Array.from(sources.values(), text => text.trimEnd().split('\n').length).sort((a, b) => a - b);
  expect(lines[Math.floor(lines.length / 2)]).toBeGreaterThanOrEqual(90);
});

test('a file under 25 lines holds types only, or is the entry or the version', () => {
  const isSmall = (text: string) => text.trimEnd().split('\n').length < 25;
  const hasCode = (text: string) => /^(?:export )?(?:async )?(?:function|class|const|let)\b/m.test(text);
  expect(filesWhere((text, path) => isSmall(text) && hasCode(text) && path !== 'main.ts')).toEqual([
    'version.ts',
  ]);
});

test('every file opens with a comment that says what it is', () => {
  expect(filesWhere(text => !/^(?:#!.*\n)?\/\*\*[\s\S]{20,}?\*\//.test(text))).toEqual([]);
});

test('the page imports of the server the shapes of its API alone, and only as types', () => {
  const imported = Array.from(sources)
    .filter(([path]) => path.startsWith('ui/'))
    .flatMap(([path, text]) =>
      Array.from(
        withoutComments(text).matchAll(/^import\s+(type\s)?[^;]*?\sfrom\s+'(\.[^'\n]+)'/gm),
        ([, isType, name = '']) =>
          `${isType === undefined ? '' : 'type '}${normalize(join(dirname(path), name))}`,
      ),
    );
  const ofHttp = imported.filter(name => /\bhttp\//.test(name));
  expect(ofHttp).toContain('type http/api/schema/session.ts');
  expect(ofHttp.filter(name => !name.startsWith('type http/api/schema/'))).toEqual([]);
  expect(imported.filter(name => /^(?:type )?lib\//.test(name) && name !== 'lib/format.ts')).toEqual([]);
});

test('a mirror without Redis and LDAP loads nothing for them', () => {
  /** By imports that run when the file is loaded; those of types and `import()` don't. */
  const loads = (path: string): string[] =>
    Array.from(
      withoutComments(sources.get(path) ?? '').matchAll(
        /^(?:import|export)\s(?!type\b)(?:[^;']*?\sfrom\s)?\s*'([^'\n]+)'/gm,
      ),
      ([, name = '']) => (name.startsWith('.') ? normalize(join(dirname(path), name)) : name),
    );
  const loaded = new Set(['main.ts', 'cli/serve.ts', 'app/mirror.ts']);
  for (const path of loaded) for (const name of loads(path)) loaded.add(name);
  expect([...loaded].filter(name => /^ioredis|redis-lru|redis-connection|^ldapts/.test(name))).toEqual([]);
  expect(loaded).toContain('lru/index/embedded-lru.ts'); // it does find what is loaded
});
