/**
 * One process owns a store. The owner listens on DATA/owner.sock (0600; later also the command line's door) and tells who
 * it is; whoever finds it answering must not touch the store. A socket that nobody answers on is left over from a crash.
 *
 * A socket's path may have some hundred bytes only, so it is reached through a descriptor of the folder.
 */
import { randomBytes } from 'node:crypto';
import { chmod, type FileHandle, link, open, rename, unlink } from 'node:fs/promises';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { isMissing, StoreError, systemCodeOf } from './store-error.ts';

const maxSocketPath = 100;
const answerMs = 2000;
const maxTries = 10;

export class StoreOwner {
  readonly #server: Server;
  readonly #folder: FileHandle | undefined;
  #released: Promise<void> | undefined;

  private constructor(server: Server, folder: FileHandle | undefined) {
    this.#server = server;
    this.#folder = folder;
    server.once('close', () => folder); // nobody collects the handle while the server listens
  }

  /** Errors: `StoreError` OWNED, naming the process that has the store; system errors as they are. */
  static async acquire(dataPath: string): Promise<StoreOwner> {
    const path = join(dataPath, 'owner.sock');
    const folder = Buffer.byteLength(path) > maxSocketPath ? await open(dataPath, 'r') : undefined;
    try {
      const address = folder === undefined ? path : `/proc/self/fd/${folder.fd}/owner.sock`;
      return new StoreOwner(await takeOver(dataPath, address), folder);
    } catch (error) {
      await folder?.close();
      throw error;
    }
  }

  /**
   * Idempotent. Closing a server also removes its socket, by the address it listens on; nobody else may do that later, for
   * by then it may be the next owner's. So the folder stays open until here.
   */
  release(): Promise<void> {
    this.#released ??= new Promise<void>(resolve => {
      this.#server.close(() => resolve());
    }).then(() => this.#folder?.close());
    return this.#released;
  }
}

async function takeOver(dataPath: string, address: string): Promise<Server> {
  for (let tries = 0; ; tries += 1) {
    try {
      return await listen(address);
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
async function listen(address: string): Promise<Server> {
  const server = createServer((socket: Socket) => {
    socket.on('error', () => {});
    socket.end(`${JSON.stringify({ pid: process.pid })}\n`);
  });
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
