/**
 * nginx with a worker per core and sendfile, as Debian sets it up: serving files alone, as a cache in front of a registry
 * (what many run instead of a mirror), and in front of Cistern with deploy/nginx-accel.conf, without its TLS.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { deployFolder } from '../../support/monitoring.ts';
import { unusedPort } from '../../support/ports.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { type StartedCistern, startCistern } from './registries.ts';
import { type MeasuredServer, start, together } from './start.ts';

/** Serves `files` under their names. */
export async function startNginx(files: Readonly<Record<string, Buffer>>): Promise<MeasuredServer> {
  const folder = await tempDir();
  for (const [name, bytes] of Object.entries(files)) await writeFile(join(folder, name), bytes);
  return run(folder, port => `server { listen 127.0.0.1:${port}; root ${folder}; }`, '/nginx.conf');
}

/** Slices of 1 MiB, one question for each however many wait for it; everything is kept for an hour. */
export async function startNginxCache(upstream: string): Promise<MeasuredServer> {
  const folder = await tempDir();
  const site = (port: number): string => `
  proxy_cache_path ${folder}/cache levels=1:2 keys_zone=blobs:10m max_size=20g inactive=1d use_temp_path=off;
  server { listen 127.0.0.1:${port};
    location / {
      slice 1m; proxy_cache blobs; proxy_cache_lock on; proxy_cache_lock_timeout 60s;
      proxy_cache_key $uri$is_args$args$slice_range; proxy_set_header Range $slice_range;
      proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $http_host;
      proxy_cache_valid 200 206 1h; proxy_ignore_headers Cache-Control Expires; proxy_pass ${upstream};
    }
    location = /ready { return 200; }
  }`;
  return run(folder, site, '/ready');
}

/** Both processes count. */
export async function startNginxAccel(upstream: string): Promise<MeasuredServer> {
  const cistern = await startCistern(upstream, { http: { trusted_proxies: ['127.0.0.1'], accel: {} } });
  const folder = await tempDir();
  const shipped = await readFile(join(deployFolder, 'nginx-accel.conf'), 'utf8');
  const site = (port: number): string => plain(shipped, cistern, port);
  return together(await run(folder, site, '/v2/'), cistern);
}

function plain(shipped: string, { url, storePath }: StartedCistern, port: number): string {
  return shipped
    .replaceAll('127.0.0.1:5000', new URL(url).host)
    .replace('listen 443 ssl', `listen 127.0.0.1:${port}`)
    .replace(/^ *ssl_.*\n/gm, '')
    .replace('/var/lib/cistern/', `${storePath}/`);
}

async function run(
  folder: string,
  site: (port: number) => string,
  readyPath: string,
): Promise<MeasuredServer> {
  const port = await unusedPort();
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map(kind => `${kind}_temp_path ${join(folder, 'temporary')};`)
    .join(' ');
  const user = process.getuid?.() === 0 ? 'user root;' : '';
  await writeFile(
    join(folder, 'nginx.conf'),
    `daemon off; ${user} worker_processes auto; pid ${join(folder, 'nginx.pid')};
error_log ${join(folder, 'error.log')};
events { worker_connections 2048; }
http { access_log ${join(folder, 'access.log')}; sendfile on; tcp_nopush on; ${temporary}
  ${site(port)} }\n`,
  );
  const argv = ['nginx', '-c', join(folder, 'nginx.conf'), '-p', folder, '-e', join(folder, 'error.log')];
  return start({ folder, port, argv, readyPath });
}
