/**
 * `cistern warm`: collects the images that the words, files and hosts name, hands them to the daemon, and tells what became of each. What
 * waits for a pull limit is the daemon's to finish.
 */
import { parseImage } from '../../admin/image-name.ts';
import type { WarmEvent, WarmedImage, WarmReport } from '../../admin/warm-admin.ts';
import { formatBytes } from '../../lib/format.ts';
import { RegistryError } from '../../oci/error.ts';
import { parsePlatformText } from '../../oci/platform.ts';
import { type AdminOptions, withAdmin } from '../admin-client.ts';
import { asCommandError, CommandError } from '../command-line.ts';
import { ProgressReporter } from '../terminal/progress-reporter.ts';
import type { ImageList } from './image-list.ts';

export interface WarmCommand extends AdminOptions {
  readonly images: readonly string[];
  /** Paths; `-` is standard input. */
  readonly files: readonly string[];
  readonly kubernetes: readonly string[];
  readonly compose: readonly string[];
  /** A socket; true: the usual one. */
  readonly fromDocker?: string | true;
  readonly fromContainerd?: string | true;
  readonly platforms: readonly string[];
  readonly signal: AbortSignal;
}

/** Resolves with the exit code: 1 where an image could not be had, 0 where one waits. */
export async function runWarm(options: WarmCommand): Promise<number> {
  const { platforms, signal, writeError } = options;
  let images: readonly string[];
  try {
    requirePlatforms(platforms);
    const list = await collect(options);
    for (const note of list.notes) writeError(`${note}\n`);
    images = list.images;
    if (images.length === 0) throw new CommandError('no images are named', 'NAME_INVALID');
  } catch (error) {
    const known = asCommandError(error);
    if (known === undefined) throw error;
    writeError(`error: ${known.message}\n`);
    return known.exitCode;
  }
  const done = withAdmin(options, {
    isChange: true,
    check: hosts => {
      for (const image of options.images) parseImage(image, hosts); // those of lists are told of one by one
    },
    run: async admin => {
      const report = await follow(options, admin.warm({ images, platforms }, signal), images.length);
      return finish(options, report);
    },
  });
  return done.catch((error: unknown) => {
    if (!signal.aborted) throw error;
    writeError('stopped: what was fetched stays\n');
    return 1;
  });
}

/** Tells what becomes of each image; on a terminal, below it, how many are done. Errors: UNAVAILABLE when the report doesn't come. */
async function follow(
  options: WarmCommand,
  events: AsyncIterable<WarmEvent>,
  total: number,
): Promise<WarmReport> {
  const { progressTo } = options;
  const bar =
    progressTo?.isTTY === true ? new ProgressReporter({ label: 'warm', stream: progressTo }) : undefined;
  try {
    bar?.update({ done: 0, total, unit: 'images' });
    let done = 0;
    for await (const { image, report } of events) {
      if (image === undefined) return report;
      done += 1;
      if (bar === undefined) writeImage(options, image);
      else bar.aside(() => writeImage(options, image));
      bar?.update({ done, total, unit: 'images', note: image.image });
    }
  } finally {
    bar?.end();
  }
  throw new RegistryError('UNAVAILABLE', { message: 'the daemon stopped before all images were done' });
}

/** Each image once, in the order of the words. */
async function collect(options: WarmCommand): Promise<ImageList> {
  const { images, files, kubernetes, compose, fromDocker, fromContainerd, env, signal } = options;
  const lists: ImageList[] = [{ images, notes: [] }];
  if (files.length + kubernetes.length + compose.length > 0) {
    const { readListFile, readKubernetesFile, readComposeFile } = await import('./image-list.ts');
    for (const path of files) lists.push(await readListFile(path));
    for (const path of kubernetes) lists.push(await readKubernetesFile(path));
    for (const path of compose) lists.push(await readComposeFile(path, env));
  }
  if (fromDocker !== undefined) {
    const { listDockerImages } = await import('./docker-images.ts');
    lists.push(await listDockerImages(fromDocker === true ? undefined : fromDocker, env, signal));
  }
  if (fromContainerd !== undefined) {
    const { listContainerdImages } = await import('./containerd-images.ts');
    lists.push(await listContainerdImages(fromContainerd === true ? undefined : fromContainerd, signal));
  }
  return {
    images: [...new Set(lists.flatMap(list => list.images))],
    notes: lists.flatMap(({ notes }) => notes),
  };
}

function requirePlatforms(platforms: readonly string[]): void {
  for (const text of platforms) {
    if (text === 'all' || parsePlatformText(text) !== undefined) continue;
    throw new CommandError(`expected a platform such as linux/arm64, or all, got ${text}`, 'NAME_INVALID');
  }
}

function writeImage({ json, write, writeError }: WarmCommand, done: WarmedImage): void {
  const { image, result, fetchedBytes, reason } = done;
  const text = reason === null ? result : `${result}, ${reason}`;
  if (result === 'failed') writeError(`error: ${image}: ${reason}\n`);
  else if (json !== true)
    write(`${image}: ${result === 'fetched' ? `fetched, ${formatBytes(fetchedBytes)}` : text}\n`);
}

function finish({ json, write }: WarmCommand, report: WarmReport): number {
  if (json === true) write(`${JSON.stringify(report, null, 2)}\n`);
  else write(render(report));
  return report.images.some(({ result }) => result === 'failed') ? 1 : 0;
}

function render({ images, fetchedBytes, fetchedManifests, waiting }: WarmReport): string {
  const of = (wanted: WarmedImage['result']) => images.filter(({ result }) => result === wanted).length;
  const counts = (['held', 'fetched', 'failed', 'skipped', 'waiting'] as const)
    .filter(result => of(result) > 0)
    .map(result => `${of(result)} ${result}`);
  const pulls = `${fetchedManifests} ${fetchedManifests === 1 ? 'manifest' : 'manifests'}`;
  const lines = [
    `${images.length} ${images.length === 1 ? 'image' : 'images'}: ${counts.join(', ')}; ${pulls} and ${formatBytes(fetchedBytes)} fetched`,
  ];
  for (const { message } of waiting) lines.push(message);
  if (waiting.length > 0) lines.push('the daemon goes on by itself: cistern stats says how far it is');
  return `${lines.join('\n')}\n`;
}
