/**
 * One process owns a store. The owner listens on the admin socket DATA/owner.sock (0600): `GET /owner` tells its process id, other requests
 * go to the handler of the command line's API. While it answers, no other process may touch the store. A socket without an answer is stale.
 */
import { randomBytes } from 'node:crypto';
import { chmod, type FileHandle, link, open, rename, unlink } from 'node:fs/promises';
import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse,
} from 'node:http';
import { connect } from 'node:net';
import { join } from 'node:path';
import { isMissing, StoreError, systemCodeOf } from './store-error.ts';

const answerMs = 2000;
const maxTries = 10;
/** Bytes: the system's limit is some hundred. */
const maxSocketPath = 100;

const ownerRequest = 'GET /owner HTTP/1.1\r\nHost: owner\r\nConnection: close\r\n\r\n';

export interface OwnerAddress {
  /** For `listen` and `connect`. A path that is too long goes by way of a descriptor of the folder, open until `close`. */
  readonly path: string;
  /** Idempotent. */
  close(): Promise<void>;
}

export class StoreOwner {
  readonly #address: OwnerAddress;
  readonly #server: Server;
  readonly #handler: SocketHandler;
  #released: Promise<void> | undefined;

  private constructor(address: OwnerAddress, server: Server, handler: SocketHandler) {
    this.#address = address;
    this.#server = server;
    this.#handler = handler;
    server.once('close', () => address); // keeps its descriptor from being collected while the server listens
  }

  /** Errors: `StoreError` OWNED, naming the process that has the store; system errors as they are. */
  static async acquire(dataPath: string): Promise<StoreOwner> {
    const address = await openOwnerAddress(dataPath);
    const handler = new SocketHandler();
    try {
      return new StoreOwner(address, await takeOver(dataPath, address.path, handler), handler);
    } catch (error) {
      await address.close();
      throw error;
    }
  }

  /** Until `stopServing`, requests other than who the owner is go to `listener`. */
  serve(listener: RequestListener): void {
    this.#handler.listener = listener;
  }

  /** Cuts what is being answered. Idempotent. */
  stopServing(): void {
    this.#handler.listener = undefined;
    this.#server.closeAllConnections();
  }

  /**
   * Idempotent. Closing a server removes its socket by the address that it listens on. The folder stays open until then: a later removal
   * could hit the socket of the next owner.
   */
  release(): Promise<void> {
    this.#released ??= new Promise<void>(resolve => {
      this.#server.close(() => resolve());
      this.#server.closeAllConnections();
    }).then(() => this.#address.close());
    return this.#released;
  }
}

/** It exists before the `StoreOwner` does: the first request may come while the store is being acquired. */
class SocketHandler {
  listener: RequestListener | undefined;

  answer(request: IncomingMessage, response: ServerResponse): void {
    if (request.url !== '/owner' && this.listener !== undefined) {
      this.listener(request, response);
      return;
    }
    response.statusCode = request.url === '/owner' ? 200 : 503; // no handler, or not now
    response.setHeader('Content-Type', 'application/json');
    response.end(`${JSON.stringify({ pid: process.pid })}\n`);
  }
}

async function takeOver(dataPath: string, address: string, handler: SocketHandler): Promise<Server> {
  for (let tries = 0; ; tries += 1) {
    try {
      return await listen(address, handler);
    } catch (error) {
      if (systemCodeOf(error) !== 'EADDRINUSE' || tries > maxTries) throw error;
    }
    const pid = (await askOwner(address)) ?? (await removeStale(address));
    if (pid !== undefined) {
      const message = `the store at ${dataPath} belongs to the running process ${pid}`;
      throw new StoreError('open', 'OWNED', message);
    }
  }
}

/**
 * Another process may have replaced the stale socket meanwhile, so the socket is moved aside first and asked once more.
 * Resolves with the process id of an owner, whose socket is back in its place then.
 */
async function removeStale(address: string): Promise<string | undefined> {
  const aside = `${address}.${randomBytes(6).toString('hex')}`;
  try {
    await rename(address, aside);
  } catch (error) {
    if (isMissing(error)) return undefined; // the next `listen` tells
    throw error;
  }
  const pid = await askOwner(aside);
  if (pid !== undefined) await link(aside, address).catch(() => undefined); // a third process has taken the path, and owns the store
  await unlink(aside);
  return pid;
}

/** The owner's process id; undefined without an answer. */
function askOwner(path: string): Promise<string | undefined> {
  return new Promise(resolve => {
    let text = '';
    const socket = connect(path);
    const timer = setTimeout(() => socket.destroy(), answerMs); // a stopped process is still an owner
    let connected = false;
    socket.on('connect', () => {
      connected = true;
      socket.write(ownerRequest); // an owner of an older version sends its id unasked
    });
    socket.on('data', bytes => {
      text += bytes.toString();
    });
    socket.on('error', () => {});
    socket.on('close', () => {
      clearTimeout(timer);
      resolve(/"pid":(\d+)/.exec(text)?.[1] ?? (connected ? 'that does not answer' : undefined));
    });
  });
}

/** Only this user can connect from the moment that `acquire` resolves. */
async function listen(address: string, handler: SocketHandler): Promise<Server> {
  // a bundle may take hours to come
  const server = createServer({ requestTimeout: 0 }, (request, response) =>
    handler.answer(request, response),
  );
  server.unref();
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(address, resolve);
  });
  try {
    await chmod(address, 0o600);
  } catch (error) {
    server.close();
    throw error;
  }
  return server;
}

/** Errors: system errors of a folder that can't be opened. */
export async function openOwnerAddress(dataPath: string): Promise<OwnerAddress> {
  const path = join(dataPath, 'owner.sock');
  if (Buffer.byteLength(path) <= maxSocketPath) return { path, close: () => Promise.resolve() };
  const folder: FileHandle = await open(dataPath, 'r');
  let closing: Promise<void> | undefined;
  return {
    path: `/proc/self/fd/${folder.fd}/owner.sock`,
    close: () => {
      closing ??= folder.close();
      return closing;
    },
  };
}
