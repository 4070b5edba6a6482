/**
 * The least that a server of Node can do for a manifest, as a yardstick: node:http alone, or Koa with one middleware.
 * `node bare-server.mjs KIND PORT FILE`: every request gets the file with the headers of a manifest.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import Koa from 'koa';

const [, , kind, port, file] = process.argv;
const bytes = readFileSync(file);
const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
const headers = {
  'Docker-Distribution-API-Version': 'registry/2.0',
  'Docker-Content-Digest': digest,
  ETag: `"${digest}"`,
  'Content-Type': 'application/vnd.oci.image.manifest.v1+json',
};

function bareListener(_request, response) {
  response.writeHead(200, { ...headers, 'Content-Length': bytes.length });
  response.end(bytes);
}

function koaListener() {
  const app = new Koa();
  app.use(context => {
    context.set(headers);
    context.body = bytes;
  });
  return app.callback();
}

createServer(kind === 'Koa' ? koaListener() : bareListener).listen(Number(port), '127.0.0.1');
