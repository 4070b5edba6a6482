/**
 * The LRU index alone with a million blobs, in a process of its own: `node million-index.mjs BLOBS [REDIS_PORT]`. Digests
 * come from a generator instead of a scan. Prints what it measured as JSON.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { EmbeddedLru } from '../../dist/lru/embedded-lru.js';
import { rebuildLru } from '../../dist/lru/rebuild.js';
import { longestTurn } from './longest-turn.mjs';

const [, , count, port] = process.argv;
const blobs = Number(count);
const touches = 1_000_000;
const evicted = 10_000;

const digestOf = n => `sha256:${createHash('sha256').update(String(n)).digest('hex')}`;
const memory = field =>
  Number(new RegExp(`${field}:\\s+(\\d+)`).exec(readFileSync('/proc/self/status', 'utf8'))[1]) / 1024;

const { lru, told, close } = port === undefined ? embedded() : await redis(Number(port));
const figures = {};
async function measure(name, work) {
  longestTurn();
  const since = performance.now();
  const cpu = process.cpuUsage();
  await work();
  const used = process.cpuUsage(cpu);
  figures[name] = {
    seconds: (performance.now() - since) / 1000,
    cpuSeconds: (used.user + used.system) / 1e6,
    longestMs: longestTurn(),
  };
}

await measure('load', () =>
  rebuildLru({
    scan: (async function* () {
      for (let n = 0; n < blobs; n += 1) {
        if (n % 64 === 0) await new Promise(setImmediate);
        yield { digest: digestOf(n), size: 1000 + n, mtimeMs: Date.now() - ((n * 7919) % blobs) * 1000 };
      }
    })(),
    isManifest: () => false,
    lru,
    now: () => performance.now(),
    signal: new AbortController().signal,
  }),
);
await measure('fill', told);
const some = Array.from({ length: 1000 }, (_, n) => digestOf((n * 101) % blobs));
await measure('touch', async () => {
  for (let n = 0; n < touches; n += some.length) {
    for (const digest of some) lru.touch(digest);
    await new Promise(setImmediate);
  }
});
await measure('tell', told);
await measure('evict', async () => {
  for (let gone = 0; gone < evicted; ) {
    for (const { digest } of await lru.coldest(16)) {
      lru.remove(digest);
      gone += 1;
    }
    await new Promise(setImmediate); // an unlink lets others have their turn too
  }
});
await measure('settle', told);
if (port !== undefined) lru.reachabilityChanged(); // as after an absence
await measure('compare', told);
process.stdout.write(
  `${JSON.stringify({ ...figures, touches, evicted, rss: memory('VmRSS'), peak: memory('VmHWM') })}\n`,
);
await close();

function embedded() {
  return { lru: new EmbeddedLru({ now: Date.now }), told: async () => {}, close: async () => {} };
}

async function redis(redisPort) {
  const [{ RedisConnection }, { RedisEntries }, { RedisLru }] = await Promise.all([
    import('../../dist/redis/redis-connection.js'),
    import('../../dist/lru/redis-entries.js'),
    import('../../dist/lru/redis-lru.js'),
  ]);
  const say = (message, fields) => process.stderr.write(`${message} ${JSON.stringify(fields)}\n`);
  const logger = { debug: say, info: say, warn: say, error: say };
  const address = { mode: 'single', addresses: [{ host: '127.0.0.1', port: redisPort }], database: 0, tls: false };
  const connection = await RedisConnection.open({ redis: address, logger });
  await connection.firstVerdict;
  const index = new RedisEntries(connection, '0123456789abcdef');
  const lru = new RedisLru({
    index,
    isReachable: () => connection.problem === undefined,
    logger,
    now: Date.now,
  });
  return {
    lru,
    told: async () => {
      for (;;) {
        try {
          return await lru.sync();
        } catch {
          await new Promise(resolve => setTimeout(resolve, 100));
        }
      }
    },
    close: async () => {
      await lru.close();
      connection.close();
    },
  };
}
