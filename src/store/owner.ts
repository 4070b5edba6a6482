/**
 * One process owns a store. The owner listens on DATA/owner.sock (0600), tells who it is at `/owner`, and answers what
 * else is asked there with what it is given to serve: the local door for the command line. Whoever finds it answering
 * must not touch the store. A socket that nobody answers on is left over from a crash.
 */
import { randomBytes } from 'node:crypto';
import { chmod, link, rename, unlink } from 'node:fs/promises';
import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse,
} from 'node:http';
import { connect } from 'node:net';
import { type OwnerAddress, openOwnerAddress } from './owner-address.ts';
import { isMissing, StoreError, systemCodeOf } from './store-error.ts';

const answerMs = 2000;
const maxTries = 10;

const question = 'GET /owner HTTP/1.1\r\nHost: owner\r\nConnection: close\r\n\r\n';

export class StoreOwner {
  readonly #address: OwnerAddress;
  readonly #server: Server;
  readonly #door: Door;
  #released: Promise<void> | undefined;

  private constructor(address: OwnerAddress, server: Server, door: Door) {
    this.#address = address;
    this.#server = server;
    this.#door = door;
    server.once('close', () => address); // nobody collects its handle while the server listens
  }

  /** Errors: `StoreError` OWNED, naming the process that has the store; system errors as they are. */
  static async acquire(dataPath: string): Promise<StoreOwner> {
    const address = await openOwnerAddress(dataPath);
    const door = new Door();
    try {
      return new StoreOwner(address, await takeOver(dataPath, address.path, door), door);
    } catch (error) {
      await address.close();
      throw error;
    }
  }

  /** Until `stopServing`, requests other than who the owner is go to `handle`. */
  serve(handle: RequestListener): void {
    this.#door.handle = handle;
  }

  /** Cuts what is being answered. Idempotent. */
  stopServing(): void {
    this.#door.handle = undefined;
    this.#server.closeAllConnections();
  }

  /**
   * Idempotent. Closing a server also removes its socket, by the address it listens on; nobody else may do that later, for
   * by then it may be the next owner's. So the folder stays open until here.
   */
  release(): Promise<void> {
    this.#released ??= new Promise<void>(resolve => {
      this.#server.close(() => resolve());
      this.#server.closeAllConnections();
    }).then(() => this.#address.close());
    return this.#released;
  }
}

/** What requests are answered with: the first one may come before the owner knows that it is one. */
class Door {
  handle: RequestListener | undefined;

  answer(request: IncomingMessage, response: ServerResponse): void {
    if (request.url !== '/owner' && this.handle !== undefined) {
      this.handle(request, response);
      return;
    }
    response.statusCode = request.url === '/owner' ? 200 : 503; // nothing else is served, or not now
    response.setHeader('Content-Type', 'application/json');
    response.end(`${JSON.stringify({ pid: process.pid })}\n`);
  }
}

async function takeOver(dataPath: string, address: string, door: Door): Promise<Server> {
  for (let tries = 0; ; tries += 1) {
    try {
      return await listen(address, door);
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
 * Another process may have been faster to replace the stale socket; so what lies there is moved aside first and asked once
 * more. Resolves with the process id of an owner, whose socket is back in its place then.
 */
async function removeStale(address: string): Promise<string | undefined> {
  const aside = `${address}.${randomBytes(6).toString('hex')}`;
  try {
    await rename(address, aside);
  } catch (error) {
    if (isMissing(error)) return undefined; // the next listen tells
    throw error;
  }
  const pid = await askOwner(aside);
  if (pid !== undefined) await link(aside, address).catch(() => undefined); // taken by a third one, who has it now
  await unlink(aside);
  return pid;
}

/** The owner's process id; undefined when nobody answers. */
function askOwner(path: string): Promise<string | undefined> {
  return new Promise(resolve => {
    let text = '';
    const socket = connect(path);
    const timer = setTimeout(() => socket.destroy(), answerMs); // it exists but is stopped: still an owner
    let connected = false;
    socket.on('connect', () => {
      connected = true;
      socket.write(question); // an owner of an older version tells its id unasked
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

/** The socket is for this user alone from the moment that `acquire` resolves. */
async function listen(address: string, door: Door): Promise<Server> {
  const server = createServer((request, response) => door.answer(request, response));
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
