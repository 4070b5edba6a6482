/**
 * `cistern push SOURCE IMAGE`: copies an image into a registry, in chunks that pass proxies with limits, and goes on after a cut. It
 * needs no configuration and no daemon, and works with any registry.
 */
import { readFile } from 'node:fs/promises';
import { defaultArtifactType } from '../../bundle/folder-artifact.ts';
import { SourceError } from '../../bundle/image-source.ts';
import { openSource } from '../../bundle/open-source.ts';
import type { Timers } from '../../lib/wait.ts';
import { isDigest } from '../../oci/digest.ts';
import { RegistryError } from '../../oci/error.ts';
import { asCommandError, CommandError } from '../command-line.ts';
import type { ProgressStream } from '../terminal/progress-reporter.ts';
import { type ImageAddress, parseImageAddress } from './image-address.ts';
import { pushImage } from './push-image.ts';
import { PushLogin, type UserPassword } from './push-login.ts';
import { PushProgress } from './push-progress.ts';
import { PushTransport } from './push-transport.ts';

export interface PushCommand {
  readonly source: string;
  readonly image: string;
  readonly chunkBytes: number;
  readonly select?: string;
  readonly artifactType?: string;
  readonly plainHttp: boolean;
  readonly insecure: boolean;
  readonly caFile?: string;
  readonly username?: string;
  /** Reads the password; undefined: there is none. */
  readonly readPassword?: () => Promise<string>;
  readonly json: boolean;
  readonly env: NodeJS.ProcessEnv;
  readonly userAgent: string;
  /** Where it shows how far it is. */
  readonly progressTo: ProgressStream;
  readonly write: (text: string) => void;
  readonly writeError: (text: string) => void;
  readonly signal: AbortSignal;
}

/** A command that waits for its next try has nothing else that keeps it alive. */
const timers: Timers = {
  after(delayMs, run) {
    const timer = setTimeout(run, delayMs);
    return () => clearTimeout(timer);
  },
};

/** Resolves with the exit code: 0 pushed, 1 failed, 2 the command line is wrong. */
export async function runPush(command: PushCommand): Promise<number> {
  const { writeError, signal } = command;
  try {
    await push(command);
    return 0;
  } catch (error) {
    if (signal.aborted) {
      writeError('stopped: the same command goes on with what is not in the registry yet\n');
      return 1;
    }
    const known = asCommandError(error);
    if (known === undefined) throw error;
    writeError(`error: ${known.message}\n`);
    if (error instanceof SourceError) return error.code === 'SOURCE_AMBIGUOUS' ? 2 : 1;
    return error instanceof RegistryError || error instanceof CommandError ? known.exitCode : 1;
  }
}

async function push(command: PushCommand): Promise<void> {
  const { source: path, select, artifactType = defaultArtifactType, env, signal } = command;
  const address = parseImageAddress(command.image, command.plainHttp);
  const user = await readUser(command);
  const ca = command.caFile === undefined ? undefined : await readFile(command.caFile, 'utf8');
  const source = await openSource(path, { ...(select !== undefined && { select }), artifactType, signal });
  const transport = new PushTransport({
    insecure: command.insecure,
    ca,
    userAgent: command.userAgent,
    noProxy: env['NO_PROXY'] ?? env['no_proxy'] ?? '',
  });
  const progress = new PushProgress({ blobs: source.blobs, stream: command.progressTo });
  try {
    checkReference(address, source.manifests.at(-1)?.descriptor.digest);
    const { registry, repository } = address;
    const login = new PushLogin({ registry, repository, user, send: transport.send });
    const { digest, pushed, present } = await pushImage(source, {
      address,
      send: request => login.send(request),
      chunkBytes: command.chunkBytes,
      timers,
      observer: progress,
      signal,
    }).finally(() => progress.end());
    const image = `${address.name}@${digest}`;
    command.write(
      command.json
        ? `${JSON.stringify({ image, source: source.kind, digest, pushed, present }, null, 2)}\n`
        : `${image}\n`,
    );
  } finally {
    await Promise.all([transport.close(), source.close()]);
  }
}

/** Errors: DIGEST_INVALID for an IMAGE with the digest of another manifest. */
function checkReference({ reference }: ImageAddress, digest: string | undefined): void {
  if (!isDigest(reference) || reference === digest) return;
  throw new RegistryError('DIGEST_INVALID', {
    message: `the source has the digest ${digest}, and IMAGE names ${reference}`,
  });
}

async function readUser({ username, readPassword }: PushCommand): Promise<UserPassword | undefined> {
  if (username === undefined && readPassword === undefined) return undefined;
  if (username === undefined || readPassword === undefined)
    throw new CommandError('--username and --password-stdin belong together', 'NAME_INVALID');
  return { username, password: await readPassword() };
}
