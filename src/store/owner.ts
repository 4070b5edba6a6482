/**
 * One process owns a store. The owner listens on DATA/owner.sock (0600; later also the command line's door) and tells who
 * it is; whoever finds it answering must not touch the store. A socket that nobody answers on is left over from a crash.
 *
 * A socket's path may have some hundred bytes only, so it is reached through a descriptor of the folder.
 */
import { chmod, open, unlink } from 'node:fs/promises';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { StoreError, systemCodeOf } from './store-error.ts';

const maxSocketPath = 100;
const answerMs = 2000;

export class StoreOwner {
  readonly #server: Server;
  readonly #path: string;
  #released: Promise<void> | undefined;

  private constructor(server: Server, path: string) {
    this.#server = server;
    this.#path = path;
  }

  /** Errors: `StoreError` OWNED, naming the process that has the store. */
  static async acquire(dataPath: string): Promise<StoreOwner> {
    const path = join(dataPath, 'owner.sock');
    return withShortPath(dataPath, path, async short => {
      for (let tries = 0; ; tries += 1) {
        try {
          const server = await listen(short);
          await chmod(path, 0o600);
          return new StoreOwner(server, path);
        } catch (error) {
          if (systemCodeOf(error) !== 'EADDRINUSE' || tries > 0) throw error;
        }
        const pid = await askOwner(short);
        if (pid !== undefined) {
          throw new StoreError(
            'open',
            'OWNED',
            `the store at ${dataPath} belongs to the running process ${pid}`,
          );
        }
        await unlink(path).catch(() => undefined); // somebody else may have been faster: the next listen tells
      }
    });
  }

  /** Idempotent. */
  release(): Promise<void> {
    this.#released ??= new Promise<void>(resolve => {
      this.#server.close(() => resolve());
    }).then(() => unlink(this.#path).catch(() => undefined)); // node removes it by its short name, which is gone
    return this.#released;
  }
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

function listen(path: string): Promise<Server> {
  const server = createServer((socket: Socket) => {
    socket.on('error', () => {});
    socket.end(`${JSON.stringify({ pid: process.pid })}\n`);
  });
  server.unref();
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, () => resolve(server));
  });
}

async function withShortPath<T>(
  folder: string,
  path: string,
  work: (short: string) => Promise<T>,
): Promise<T> {
  if (Buffer.byteLength(path) <= maxSocketPath) return work(path);
  const handle = await open(folder, 'r');
  try {
    return await work(`/proc/self/fd/${handle.fd}/owner.sock`);
  } finally {
    await handle.close();
  }
}
