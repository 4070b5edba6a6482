/** A real nginx in front of a registry: a reverse proxy with a limit for request bodies, as registries stand behind one. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { unusedPort } from '../ports.ts';
import { endDaemon, startDaemon } from './daemon.ts';
import { host, statusIn } from './place.ts';

export interface NginxOptions {
  readonly folder: string;
  /** What it passes everything on to. */
  readonly upstream: string;
  /** `client_max_body_size`. */
  readonly maxBody: string;
}

/** For the running test. Gives the port. */
export async function startNginx({ folder, upstream, maxBody }: NginxOptions): Promise<number> {
  await mkdir(folder, { recursive: true });
  const port = await unusedPort();
  const config = join(folder, 'nginx.conf');
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map(kind => `${kind}_temp_path ${join(folder, 'temporary')};`)
    .join(' ');
  await writeFile(
    config,
    `daemon off; master_process off; user root; pid ${join(folder, 'nginx.pid')}; error_log stderr;
events {}
http { access_log off; ${temporary}
  server { listen 127.0.0.1:${port}; client_max_body_size ${maxBody};
    location / { proxy_pass ${upstream}; proxy_http_version 1.1; proxy_set_header Host $http_host; proxy_request_buffering off; } } }\n`,
  );
  const daemon = await startDaemon({
    place: host,
    argv: ['nginx', '-c', config, '-p', folder, '-e', 'stderr'],
    ready: async () => (await statusIn(host, `http://127.0.0.1:${port}/v2/`)) !== 0,
  });
  onTestFinished(() => endDaemon(daemon));
  return port;
}
