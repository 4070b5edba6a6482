/**
 * The least that a server of Node can do for a manifest, as a yardstick: node:http alone, or Koa with one middleware.
 * `node bare-server.js KIND PORT FILE`, KIND `node:http` or `Koa`: every request gets the file with the headers of a
 * manifest.
 */
import { readFileSync } from 'node:fs';
import { createServer, type RequestListener } from 'node:http';
import Koa from 'koa';
import { digestOf } from '../../../src/oci/digest.ts';

const [, , kind, port, file] = process.argv;
if (port === undefined || file === undefined)
  throw new Error(`expected KIND PORT FILE, got ${process.argv.slice(2).join(' ')}`);
const bytes = readFileSync(file);
const digest = digestOf(bytes);
const headers = {
  'Docker-Distribution-API-Version': 'registry/2.0',
  'Docker-Content-Digest': digest,
  ETag: `"${digest}"`,
  'Content-Type': 'application/vnd.oci.image.manifest.v1+json',
};

const bareListener: RequestListener = (_request, response) => {
  response.writeHead(200, { ...headers, 'Content-Length': bytes.length });
  response.end(bytes);
};

function koaListener(): RequestListener {
  const app = new Koa();
  app.use(context => {
    context.set(headers);
    context.body = bytes;
  });
  return app.callback();
}

function listenerOf(name: string | undefined): RequestListener {
  if (name === 'node:http') return bareListener;
  if (name === 'Koa') return koaListener();
  throw new Error(`expected node:http or Koa, got ${name}`);
}

createServer(listenerOf(kind)).listen(Number(port), '127.0.0.1');
