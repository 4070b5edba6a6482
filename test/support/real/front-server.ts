/** A mirror with a web server in front of it that has a file of deploy/, as it is but for ports, names and folders. */
import { chmod, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { expect, vi } from 'vitest';
import { CertificateAuthority } from '../certificates.ts';
import { get } from '../client.ts';
import { startTestMirror, type TestMirror, type TestMirrorOptions } from '../mirror.ts';
import { deployFolder } from '../monitoring.ts';
import { unusedPort } from '../ports.ts';
import { spawnProcess } from '../process.ts';
import { tempDir } from '../temp-dir.ts';
import { type FakeUpstream, startFakeUpstream } from '../upstream.ts';

export interface Front {
  readonly upstream: FakeUpstream;
  readonly mirror: TestMirror;
  readonly folder: string;
  readonly authority: CertificateAuthority;
  /** PEM text. */
  readonly ca: string;
  readonly caFile: string;
  readonly port: number;
  /** Of the server in front. */
  readonly url: string;
  /** What stands in the files of deploy/, and what is meant here. */
  readonly replace: Readonly<Record<string, string>>;
}

export interface MirrorOptions extends Pick<TestMirrorOptions, 'hub'> {
  readonly config?: Readonly<Record<string, unknown>>;
  readonly upstream?: Parameters<typeof startFakeUpstream>[0];
}

export interface NginxFrontOptions extends MirrorOptions {
  readonly file?: 'nginx.conf' | 'nginx-accel.conf';
  /** The folder of blobs for nginx; absent: the mirror's. */
  readonly blobs?: string;
}

const shippedBlobs = '/var/lib/cistern/blobs-v1/';

/** A mirror with trust in 127.0.0.1, and a certificate for a server in front of it. */
export async function startBehind({ config = {}, hub, ...options }: MirrorOptions = {}): Promise<Front> {
  const upstream = await startFakeUpstream(options.upstream);
  const trusted_proxies = ['127.0.0.1'];
  const http = typeof config['http'] === 'object' ? config['http'] : {};
  const mirror = await startTestMirror({
    upstream,
    ...(hub && { hub }),
    config: { ...config, http: { trusted_proxies, ...http } },
  });
  const folder = await tempDir();
  // Servers that give up root read their files, and those of the store as members of its group.
  for (const one of [folder, dirname(mirror.storePath)]) await chmod(one, 0o755);
  const authority = new CertificateAuthority(folder);
  const { cert, key } = authority.issue();
  const certificate = join(folder, 'server.pem');
  await writeFile(certificate, cert);
  await writeFile(join(folder, 'server.key'), key);
  const port = await unusedPort();
  const replace: Readonly<Record<string, string>> = {
    '127.0.0.1:5000': new URL(mirror.url).host,
    '/etc/ssl/certs/mirror.example.com.pem': certificate,
    '/etc/ssl/private/mirror.example.com.key': join(folder, 'server.key'),
    'mirror.example.com': 'localhost',
  };
  const { caPem: ca, caFile } = authority;
  return { upstream, mirror, folder, authority, ca, caFile, port, url: `https://localhost:${port}`, replace };
}

/** In front of a mirror, with a file of deploy/. As root it has a worker that is no root, only of its group. */
export async function startNginx({
  file = 'nginx.conf',
  blobs,
  ...options
}: NginxFrontOptions = {}): Promise<Front> {
  const front = await startBehind(options);
  const { folder, port, mirror } = front;
  const isAccel = file === 'nginx-accel.conf';
  const replace = {
    ...front.replace,
    ...(isAccel && { [shippedBlobs]: blobs ?? `${mirror.storePath}/blobs-v1/` }),
  };
  const user = process.getuid?.() === 0 ? 'user www-data root; ' : '';
  const site = await readShipped(file, { ...replace, 'listen 443': `listen 127.0.0.1:${port}` });
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map(kind => `${kind}_temp_path ${join(folder, 'temporary')};`)
    .join(' ');
  const config = join(folder, 'nginx.conf');
  await writeFile(
    config,
    `daemon off; ${user}pid ${join(folder, 'nginx.pid')}; error_log stderr;
events {}
http { access_log off; ${temporary}
${site} }\n`,
  );
  spawnProcess('nginx', ['-c', config, '-p', folder, '-e', 'stderr'], { group: true });
  await answers(front);
  return front;
}

/** As it is in deploy/, with these in place of others; each of them has to be there. */
export async function readShipped(name: string, replace: Readonly<Record<string, string>>): Promise<string> {
  let text = await readFile(join(deployFolder, name), 'utf8');
  for (const [from, to] of Object.entries(replace)) {
    expect(text).toContain(from);
    text = text.replaceAll(from, to);
  }
  return text;
}

export async function answers({ url, ca }: { url: string; ca: string }): Promise<void> {
  await vi.waitFor(async () => expect((await get(url, '/healthz', { ca })).status).toBe(200), {
    timeout: 30_000,
    interval: 100,
  });
}
