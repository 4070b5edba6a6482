/**
 * `cistern export IMAGE… --output FILE|-`: fetches what is missing, then writes one tar with everything. What can't be had is listed, and
 * nothing is written then; a file gets its name only when it is whole.
 */
import { createReadStream, createWriteStream } from 'node:fs';
import { rename, stat, unlink } from 'node:fs/promises';
import { resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { parseImage } from '../../admin/image-name.ts';
import { type ExportPlan, type Lack, planExport } from '../../bundle/plan-export.ts';
import { bundleBytes, type WrittenBundle, writeBundle } from '../../bundle/write-bundle.ts';
import { formatBytes } from '../../lib/format.ts';
import { Limit } from '../../lib/limit.ts';
import { type Digest, isDigest } from '../../oci/digest.ts';
import { RegistryError } from '../../oci/error.ts';
import { type Platform, parsePlatformText } from '../../oci/platform.ts';
import type { BundleContent } from '../../registry/bundle-content.ts';
import { type AdminOptions, withAdmin } from '../admin-client.ts';
import { CommandError } from '../command-line.ts';
import { withProgress } from '../terminal/progress-reporter.ts';

export interface ExportCommand extends AdminOptions {
  readonly images: readonly string[];
  /** A file; `-`: `stdout`. */
  readonly output: string;
  readonly platforms: readonly string[];
  /** A file of digests that the other side has. */
  readonly have?: string;
  readonly stdout: NodeJS.WritableStream & { readonly isTTY?: boolean };
  readonly signal: AbortSignal;
}

const fetchesAtOnce = 3;
/** `docker load` gets the image for this machine where the command doesn't say. */
const architectures: Readonly<Record<string, string>> = {
  x64: 'amd64',
  arm64: 'arm64',
  arm: 'arm',
  ia32: '386',
};

/** Resolves with the exit code. */
export function runExport(command: ExportCommand): Promise<number> {
  const { images, platforms: texts, writeError, signal } = command;
  const done = withAdmin(command, {
    isChange: false,
    check: hosts => {
      for (const image of images) parseImage(image, hosts);
      texts.map(requirePlatform);
      if (command.output === '-' && command.stdout.isTTY === true)
        throw new CommandError(
          'standard output is a terminal: name a file, or send it into a pipe',
          'NAME_INVALID',
        );
    },
    run: async admin => {
      const { content } = admin.bundles;
      const plan = await planExport({ images, platforms: texts.map(requirePlatform) }, content, signal);
      for (const image of plan.unknownReferrers)
        writeError(`warning: what refers to ${image} is not known: its upstream cannot be asked now\n`);
      for (const { digest, image, reason } of plan.leftBehind)
        writeError(
          `warning: left out: ${digest}, which refers to content of ${image.split('@')[0]}: ${reason}\n`,
        );
      const have = await readHave(command, plan);
      const held = new Map(await content.held([...plan.blobs.keys()], signal));
      const lacks = [...plan.lacks, ...(await fetchMissing(command, plan, { content, have, held }))];
      if (lacks.length > 0) return refuse(command, lacks);
      const written = await write(command, plan, { content, have, held });
      report(command, written);
      return 0;
    },
  });
  return done.catch((error: unknown) => {
    if (!signal.aborted) throw error;
    writeError('stopped: what was fetched is kept, and the same command goes on\n');
    return 1;
  });
}

interface Having {
  readonly content: BundleContent;
  readonly have: ReadonlySet<Digest>;
  readonly held: Map<Digest, number>;
}

/** Of the digests in the file, those that the bundle would have. */
async function readHave({ have, cwd }: ExportCommand, plan: ExportPlan): Promise<ReadonlySet<Digest>> {
  const found = new Set<Digest>();
  if (have === undefined) return found;
  const input = createReadStream(resolve(cwd, have));
  let number = 0;
  for await (const line of createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY })) {
    number += 1;
    const text = line.trim();
    if (text === '') continue;
    if (!isDigest(text))
      throw new CommandError(
        `${have}:${number}: expected a digest as cistern digests prints it`,
        'DIGEST_INVALID',
      );
    if (plan.manifests.has(text) || plan.blobs.has(text)) found.add(text);
  }
  return found;
}

/** Into the store, by reading each as a client would. `held` grows. */
async function fetchMissing(
  command: ExportCommand,
  plan: ExportPlan,
  { content, have, held }: Having,
): Promise<Lack[]> {
  const missing = [...plan.blobs.values()].filter(
    ({ digest, isNeeded }) => isNeeded && !held.has(digest) && !have.has(digest),
  );
  if (missing.length === 0) return [];
  const lacks: Lack[] = [];
  const total = missing.reduce((sum, { size = 0 }) => sum + size, 0);
  const limit = new Limit({ maxRunning: fetchesAtOnce });
  await withProgress(command, 'fetching', onProgress => {
    let done = 0;
    const fetch = async ({ digest, repository, what }: (typeof missing)[number]) => {
      const image = `${repository}@${digest}`;
      const onBytes = (bytes: number) => {
        done += bytes;
        onProgress?.({ done, total, unit: 'bytes', note: `${repository}@${digest.slice(0, 19)}` });
      };
      try {
        held.set(digest, await content.fetch(image, onBytes, command.signal));
      } catch (error) {
        command.signal.throwIfAborted();
        if (!(error instanceof RegistryError) && !(error instanceof CommandError)) throw error;
        lacks.push({ image: repository, digest, what, reason: error.message });
      }
    };
    return Promise.all(missing.map(blob => limit.run(() => fetch(blob))));
  });
  return lacks;
}

function refuse({ writeError, output, platforms }: ExportCommand, lacks: readonly Lack[]): number {
  for (const { image, digest, what, reason } of lacks)
    writeError(`not here: ${digest === undefined ? image : `${digest} (${what}) of ${image}`}: ${reason}\n`);
  const hint =
    platforms.length === 0 && lacks.some(({ what }) => what.includes('/'))
      ? '; --platform leaves the others out'
      : '';
  const count = lacks.length === 1 ? '1 part is' : `${lacks.length} parts are`;
  const what = output === '-' ? 'nothing was written' : `${output} was not written`;
  writeError(`error: ${count} missing, and ${what}${hint}\n`);
  return 1;
}

async function write(
  command: ExportCommand,
  plan: ExportPlan,
  { content, have, held }: Having,
): Promise<WrittenBundle> {
  const isLeftOut = (digest: Digest) => have.has(digest);
  const total = bundleBytes(plan, { held, isLeftOut });
  const [first] = command.platforms.map(requirePlatform);
  const own = { os: 'linux', architecture: architectures[process.arch] ?? process.arch };
  return await withProgress(command, 'writing', onProgress => {
    let done = 0;
    const onBytes = (bytes: number, digest: Digest) => {
      done += bytes;
      onProgress?.({ done, total, unit: 'bytes', note: digest.slice(0, 19) });
    };
    const options = {
      content,
      held,
      isLeftOut,
      dockerPlatform: first ?? own,
      onBytes,
      signal: command.signal,
    };
    return intoOutput(command, sink => writeBundle(plan, options, sink));
  });
}

/** A file is written beside its place; what is no regular file (a pipe, a device) is written as it is. */
async function intoOutput<T>(
  { output, cwd, stdout }: ExportCommand,
  work: (sink: NodeJS.WritableStream) => Promise<T>,
): Promise<T> {
  if (output === '-') return await work(stdout);
  const path = resolve(cwd, output);
  const found = await stat(path).catch(() => undefined); // what is wrong with it, the write says
  if (found !== undefined && !found.isFile()) return await work(createWriteStream(path));
  const part = `${path}.part`;
  try {
    const done = await work(createWriteStream(part, { flush: true }));
    await rename(part, path);
    return done;
  } catch (error) {
    await unlink(part).catch(() => undefined); // the first error is thrown
    throw error;
  }
}

function report(command: ExportCommand, written: WrittenBundle): void {
  const { output, json, images } = command;
  const say = output === '-' ? command.writeError : command.write;
  const { manifests, blobs, bytes, leftOut } = written;
  if (json === true) {
    say(`${JSON.stringify({ images, output, ...written }, null, 2)}\n`);
    return;
  }
  const parts = `${manifests} ${manifests === 1 ? 'manifest' : 'manifests'} and ${blobs} ${blobs === 1 ? 'blob' : 'blobs'}`;
  const rest = leftOut === 0 ? '' : `; ${leftOut} left out, which the other side has`;
  say(`${output === '-' ? 'written' : output}: ${parts}, ${formatBytes(bytes)}${rest}\n`);
}

function requirePlatform(text: string): Platform {
  const platform = parsePlatformText(text);
  if (platform !== undefined) return platform;
  throw new CommandError(
    `expected a platform such as linux/arm64, got ${JSON.stringify(text)}`,
    'NAME_INVALID',
  );
}
