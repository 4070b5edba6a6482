/** HTTPS of the mirror itself: what it speaks, to whom, and how certificates change while it runs. */
import { execFileSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { readFile, stat, writeFile } from 'node:fs/promises';
import { Agent, request as httpsRequest } from 'node:https';
import { connect as connectTcp } from 'node:net';
import { join } from 'node:path';
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';
import { expect, onTestFinished, test, vi } from 'vitest';
import { type Certificate, CertificateAuthority } from '../support/certificates.ts';
import { get } from '../support/client.ts';
import { startTestMirror, type TestMirror } from '../support/mirror.ts';
import { tempDir } from '../support/temp-dir.ts';
import { startFakeUpstream } from '../support/upstream.ts';

interface Rig {
  readonly authority: CertificateAuthority;
  readonly certificate: string;
  readonly key: string;
  write(pair: Certificate): Promise<void>;
  start(
    tls?: Record<string, unknown>,
    config?: Record<string, unknown>,
  ): Promise<TestMirror & { secure: string }>;
}

async function rig(): Promise<Rig> {
  const folder = await tempDir();
  const authority = new CertificateAuthority(folder);
  const [certificate, key] = [join(folder, 'tls.pem'), join(folder, 'tls.key')];
  const write = async (pair: Certificate): Promise<void> => {
    await writeFile(certificate, pair.cert);
    await writeFile(key, pair.key);
  };
  await write(authority.issue());
  return {
    authority,
    certificate,
    key,
    write,
    start: async (tls = {}, config = {}) => {
      const listen = [{ address: '127.0.0.1:0', tls: false, login: 'off' }, '127.0.0.1:0'];
      const http = { listen, tls: { certificate, key, ...tls } };
      const mirror = await startTestMirror({
        upstream: await startFakeUpstream(),
        config: { http, ...config },
      });
      return { ...mirror, secure: String(mirror.urls[1]) };
    },
  };
}

/** The handshake's outcome. Errors: that of the handshake. */
function shakeHands(url: string, options: ConnectionOptions): Promise<TLSSocket> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve, reject) => {
    const socket = connect({ host: hostname, port: Number(port), ...options }, () => resolve(socket));
    socket.on('error', reject);
    onTestFinished(() => {
      socket.destroy();
    });
  });
}

function peerOf(socket: TLSSocket): string | undefined {
  return socket.getPeerX509Certificate()?.fingerprint256;
}

function fingerprintOf(pem: string): string {
  return new X509Certificate(pem).fingerprint256;
}

test('HTTPS and plain HTTP side by side; plain HTTP on the HTTPS port is a 400 in text', async () => {
  const { authority, start } = await rig();
  const mirror = await start();
  expect(mirror.secure).toMatch(/^https:/);
  const ca = authority.caPem;
  expect((await get(mirror.secure, '/v2/', { ca })).status).toBe(200);
  expect((await get(mirror.url, '/v2/')).status).toBe(200);
  const plain = await get(mirror.secure.replace('https', 'http'), '/v2/');
  expect([plain.status, plain.headers.get('content-type'), plain.end]).toEqual([
    400,
    'text/plain; charset=utf-8',
    'complete',
  ]);
  expect(plain.body.toString()).toContain('https://');
  const socket = await shakeHands(mirror.secure, { ca, ALPNProtocols: ['h2', 'http/1.1'] });
  expect([socket.alpnProtocol, socket.getProtocol()]).toEqual(['http/1.1', 'TLSv1.3']);
  expect((await shakeHands(mirror.secure, { ca, maxVersion: 'TLSv1.2' })).getProtocol()).toBe('TLSv1.2');
  const old = { ca, minVersion: 'TLSv1.1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' } as const;
  await expect(shakeHands(mirror.secure, old)).rejects.toThrow();
  const series = 'cistern_tls_certificate_expires_seconds{name="main"}';
  const expires = Date.parse(new X509Certificate(authority.issue().cert).validTo) / 1000;
  expect(Math.abs((await mirror.metric(series)) - expires)).toBeLessThan(60);
});

test('connections that never shake hands end with the mirror', async () => {
  const { start } = await rig();
  const mirror = await start();
  const { port } = new URL(mirror.secure);
  const socket = connectTcp(Number(port), '127.0.0.1');
  const closed = new Promise(resolve => socket.once('close', resolve).on('error', () => undefined));
  await new Promise(resolve => socket.once('connect', resolve));
  await mirror.close(60_000); // it would wait so long for an answer that is being sent
  expect(await closed).toBe(false); // not by an error
});

test('another certificate by the host that a client asks for', async () => {
  const { authority, certificate, start } = await rig();
  const [pair, starred] = [authority.issue(['DNS:registry.lan']), authority.issue(['DNS:*.test'])];
  const names = [];
  for (const [host, { cert, key }] of Object.entries({ 'registry.lan': pair, '*.test': starred })) {
    const stem = join(certificate, '..', host.replace('*', 'star'));
    await writeFile(`${stem}.pem`, cert);
    await writeFile(`${stem}.key`, key);
    names.push({ host, certificate: `${stem}.pem`, key: `${stem}.key` });
  }
  const mirror = await start({ names });
  const ca = authority.caPem;
  const main = fingerprintOf(await readFile(certificate, 'utf8'));
  const shown = async (servername: string) =>
    peerOf(await shakeHands(mirror.secure, { ca, servername, checkServerIdentity: () => undefined }));
  expect(await shown('Registry.LAN')).toBe(fingerprintOf(pair.cert));
  expect(await shown('a.test')).toBe(fingerprintOf(starred.cert));
  expect(await shown('a.b.test')).toBe(main);
  expect(await shown('other.lan')).toBe(main);
  expect(await mirror.metric('cistern_tls_certificate_expires_seconds{name="registry.lan"}')).toBeGreaterThan(
    0,
  );
});

test('the CN of a client certificate is the user, by the rules; a foreign certificate is refused', async () => {
  const { authority, start } = await rig();
  const clients = new CertificateAuthority(await tempDir());
  const access = {
    rules: [
      { repositories: ['docker.io/library/**'], users: ['alice'] },
      { repositories: ['docker.io/**'], users: ['*'] },
    ],
  };
  const ca = authority.caPem;
  const alice = clients.issue(['DNS:a'], { commonName: 'alice' });
  const foreign = authority.issue(['DNS:a'], { commonName: 'alice' });
  const optional = await start({ client_ca: clients.caFile }, { access });
  const path = '/v2/library/nothing/tags/list';
  expect((await ask(optional.secure, path, { ca })).status).toBe(403);
  expect((await ask(optional.secure, path, { ca, ...alice })).status).toBe(404);
  expect((await get(optional.url, path)).status).toBe(403); // login: off
  await expect(ask(optional.secure, path, { ca, ...foreign })).rejects.toThrow();
  const users = optional.log.filter(({ msg }) => msg === 'request').map(({ user }) => user);
  expect(users).toEqual([undefined, 'alice', undefined]);
  const required = await start({ client_ca: clients.caFile, client_auth: 'required' }, { access });
  await expect(ask(required.secure, path, { ca })).rejects.toThrow();
  await expect(ask(required.secure, path, { ca, ...foreign })).rejects.toThrow();
  expect((await ask(required.secure, path, { ca, ...alice })).status).toBe(404);
});

test('figures are for those with a client certificate where that is the only login', async () => {
  const { authority, start } = await rig();
  const clients = new CertificateAuthority(await tempDir());
  const alice = clients.issue(['DNS:a'], { commonName: 'alice' });
  const mirror = await start({ client_ca: clients.caFile });
  const ca = authority.caPem;
  const path = '/api/v1/stats';
  expect((await ask(mirror.secure, path, { ca })).status).toBe(403);
  expect((await ask(mirror.secure, path, { ca, ...alice })).status).toBe(200);
  expect((await get(mirror.url, path)).status).toBe(403); // login: off
});

test('a certificate replaced under load drops no connection, and the next handshake has the new one', async () => {
  const { authority, certificate, key, write, start } = await rig();
  const mirror = await start();
  const ca = authority.caPem;
  const agents = Array.from({ length: 8 }, () => new Agent({ keepAlive: true, maxSockets: 1, ca }));
  const stop = new AbortController();
  const sockets = new Set<unknown>();
  let answers = 0;
  const load = agents.map(async agent => {
    while (!stop.signal.aborted) {
      const { status, socket } = await ask(mirror.secure, '/v2/', { agent });
      expect(status).toBe(200);
      sockets.add(socket);
      answers += 1;
    }
    agent.destroy();
  });
  const first = fingerprintOf(await readFile(certificate, 'utf8'));
  const shown = async () => peerOf(await shakeHands(mirror.secure, { ca, servername: 'localhost' }));
  expect(await shown()).toBe(first);

  const next = authority.issue();
  await writeFile(certificate, next.cert.slice(0, 300)); // half-written
  await vi.waitFor(() => expect(refusals(mirror)).toHaveLength(1), 8000);
  expect(await shown()).toBe(first);
  await writeFile(certificate, next.cert); // the key is still the old one
  await vi.waitFor(() => expect(refusals(mirror)).toHaveLength(2), 8000);
  expect(await shown()).toBe(first);
  await writeFile(key, next.key);
  await vi.waitFor(async () => expect(await shown()).toBe(fingerprintOf(next.cert)), 8000);
  await write(authority.issue(undefined, { days: -1 }));
  await vi.waitFor(() => expect(refusals(mirror)).toHaveLength(3), 8000);
  expect(await shown()).toBe(fingerprintOf(next.cert));

  const before = answers;
  await vi.waitFor(() => expect(answers).toBeGreaterThan(before + 100), 8000);
  stop.abort();
  await Promise.all(load);
  expect(sockets.size).toBe(agents.length); // each of them has kept its connection
  expect(refusals(mirror)).toEqual([
    'certificate: no whole certificate in PEM form',
    'key: is not the key of the certificate',
    expect.stringContaining('certificate: the certificate expired at '),
  ]);
}, 40_000);

test('tls: auto has an authority of its own, at /ca.pem and only there', async () => {
  const listen = [{ address: '127.0.0.1:0', tls: false }, '127.0.0.1:0'];
  const http = { listen, tls: 'auto', names: ['registry.lan:5000'], public_url: 'https://mirror.lan' };
  const upstream = await startFakeUpstream();
  const mirror = await startTestMirror({ upstream, config: { http } });
  const { body, status } = await get(mirror.url, '/ca.pem');
  expect(status).toBe(200);
  const ca = body.toString();
  expect(ca).not.toContain('PRIVATE');
  const folder = join(mirror.storePath, 'tls-v1');
  for (const name of ['ca.pem', 'ca.key', 'server.pem', 'server.key'])
    expect((await stat(join(folder, name))).mode & 0o777, name).toBe(0o600);
  const secure = String(mirror.urls[1]);
  for (const servername of ['localhost', 'mirror.lan', 'registry.lan'])
    expect((await shakeHands(secure, { ca, servername })).authorized).toBe(true);
  expect((await get(secure, '/v2/', { ca })).status).toBe(200); // by address
  const verify = ['verify', '-x509_strict', '-purpose', 'sslserver', '-CAfile', join(folder, 'ca.pem')];
  expect(execFileSync('openssl', [...verify, join(folder, 'server.pem')]).toString()).toContain(': OK');
  const text = execFileSync('openssl', ['x509', '-noout', '-text', '-in', join(folder, 'ca.pem')]).toString();
  expect(text).toMatch(/P-256[\s\S]*CA:TRUE/);
  const leaf = new X509Certificate(await readFile(join(folder, 'server.pem')));
  expect((Date.parse(leaf.validTo) - Date.parse(leaf.validFrom)) / 86_400_000).toBe(397);
  expect(await mirror.metric('cistern_tls_certificate_expires_seconds{name="ca"}')).toBeGreaterThan(0);

  await mirror.close();
  const again = await startTestMirror({ upstream, config: { http }, storePath: mirror.storePath });
  expect((await get(again.url, '/ca.pem')).body.toString()).toBe(ca);
  expect(peerOf(await shakeHands(String(again.urls[1]), { ca, servername: 'localhost' }))).toBe(
    leaf.fingerprint256,
  );
});

test('without tls: auto there is no /ca.pem', async () => {
  const { start } = await rig();
  expect((await get((await start()).url, '/ca.pem')).status).toBe(404);
});

function refusals({ log }: TestMirror): unknown[] {
  return log
    .filter(({ msg }) => msg === 'cannot use the new certificate, the old one stays')
    .map(({ reason }) => reason);
}

function ask(
  url: string,
  path: string,
  options: ConnectionOptions & { readonly agent?: Agent },
): Promise<{ status: number | undefined; socket: unknown }> {
  return new Promise((resolve, reject) => {
    const call = httpsRequest(url + path, { agent: false, ...options }, response => {
      const { socket } = response;
      response.resume().once('end', () => resolve({ status: response.statusCode, socket }));
    });
    call.once('error', reject).end();
  });
}
