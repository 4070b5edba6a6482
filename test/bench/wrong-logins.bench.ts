/**
 * 200 wrong logins a second for 2 s, each with another name, from one address: how long a right login from another address takes, and a hot
 * manifest meanwhile. Passwords are hashed with bcrypt at cost 10, off the event loop, two at
 * once, on two cores one. The bounds are 1 s and 10 ms at p99.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { hash } from 'bcrypt';
import { expect, test } from 'vitest';
import { get, request } from '../support/client.ts';
import { buildImage } from '../support/images.ts';
import { spawnTestMirror } from '../support/mirror.ts';
import { tempDir } from '../support/temp-dir.ts';
import { startFakeUpstream } from '../support/upstream.ts';
import { basic } from '../support/users.ts';
import { Table } from './report.ts';

const perSecond = 200;
const seconds = 2;
const rounds = 5;

test('wrong logins', async () => {
  const upstream = await startFakeUpstream();
  upstream.put('library/alpine', buildImage(), 'latest');
  const htpasswd = join(await tempDir(), 'htpasswd');
  const table = new Table('beside 200 wrong logins a second from one address', {
    'right login ms': 1,
    'hot manifest p50 ms': 2,
    'hot manifest p99 ms': 2,
  });
  for (let round = 0; round < rounds; round += 1) {
    await writeFile(htpasswd, `alice:${await hash('right', 10)}\n`);
    const mirror = await spawnTestMirror({ upstream, config: { access: { htpasswd } } });
    const pull = () => get(mirror.url, '/v2/library/alpine/manifests/latest');
    expect((await pull()).status).toBe(200);
    const login = (name: string, password: string, from: string) =>
      request(mirror.url, { path: '/token', headers: { Authorization: basic(name, password) }, from }).done;
    const wrong: Promise<{ readonly status: number }>[] = [];
    const manifests: number[] = [];
    let rightMs = Number.NaN;
    const startedAt = performance.now();
    const right = delay(1000).then(async () => {
      const at = performance.now();
      expect((await login('alice', 'right', '127.0.0.2')).status).toBe(200);
      rightMs = performance.now() - at;
    });
    while (performance.now() - startedAt < seconds * 1000) {
      const due = Math.floor(((performance.now() - startedAt) / 1000) * perSecond);
      while (wrong.length < due) wrong.push(login(`user${wrong.length}`, 'wrong', '127.0.0.3'));
      const at = performance.now();
      await pull();
      manifests.push(performance.now() - at);
    }
    await right;
    const statuses = (await Promise.all(wrong)).map(({ status }) => status);
    expect(statuses.every(status => status === 401 || status === 503)).toBe(true);
    const samples = manifests.toSorted((a, b) => a - b);
    const at = (share: number): number => samples[Math.floor(samples.length * share)] ?? Number.NaN;
    table.add('cistern', {
      'right login ms': rightMs,
      'hot manifest p50 ms': at(0.5),
      'hot manifest p99 ms': at(0.99),
    });
    await mirror.process.stop('SIGTERM');
  }
  table.print();
});
