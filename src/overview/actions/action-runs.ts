/** What each action of the page does with one image, in the words of the commands, and what each of them takes. */
import type { Admin } from '../../admin/admin.ts';
import { type ImageHosts, parseImage } from '../../admin/image-name.ts';
import type { ActionRequest, JobResult } from '../../http/api/schema/actions.ts';
import type { ActionName } from '../../http/api/schema/session.ts';
import { formatBytes } from '../../lib/format.ts';
import { isDigest } from '../../oci/digest.ts';
import { RegistryError } from '../../oci/error.ts';
import type { Caller } from '../../registry/caller.ts';
import type { RegistryDeleter } from '../../registry/writer.ts';
import type { RegistryChange } from '../../telemetry/registry-events.ts';
import type { ImageDetails } from '../images/image-details.ts';
import type { JobProgress } from './jobs.ts';

export interface RunContext {
  readonly request: ActionRequest;
  readonly caller: Caller;
  readonly signal: AbortSignal;
  readonly progress: JobProgress;
}

export interface ActionRun {
  /** Errors: UNSUPPORTED (400) for what this action doesn't take. */
  check(request: ActionRequest): ActionRequest;
  one(image: string, context: RunContext): Promise<JobResult>;
}

/** Something that runs for a while and says how far it is. */
export interface LongWork {
  run(
    images: readonly string[],
    platforms: readonly string[],
    progress: JobProgress,
    signal: AbortSignal,
  ): Promise<{ readonly summary: string; readonly fetchedBytes?: number }>;
}

export interface ActionRunsOptions {
  readonly admin: Pick<Admin, 'pin' | 'unpin' | 'evict' | 'gc' | 'tags'>;
  readonly hosts: ImageHosts;
  readonly details: Pick<ImageDetails, 'of'>;
  /** Undefined: nothing is hosted. */
  readonly deleter: RegistryDeleter | undefined;
  /** Of a hosted repository has changed. */
  tell(repository: string, change: RegistryChange): void;
  /** Absent: they don't work here. */
  readonly warm?: LongWork | undefined;
  readonly scrub?: LongWork | undefined;
}

export function isAboutAll(action: ActionName): boolean {
  return action === 'gc' || action === 'scrub';
}

export class ActionRuns {
  readonly #options: ActionRunsOptions;
  readonly #runs = new Map<ActionName, ActionRun>();

  constructor(options: ActionRunsOptions) {
    this.#options = options;
    const { admin, deleter, warm, scrub } = options;
    const add = (action: ActionName, takes: readonly Taken[], one: ActionRun['one']) =>
      this.#runs.set(action, { check: request => checkTaken(action, takes, request), one });
    add('pin', ['images'], async (image, { signal }) => {
      const { changed, heldBytes } = await admin.pin(image, signal);
      return result(image, changed ? `pinned, ${formatBytes(heldBytes)} stay` : 'it was pinned already');
    });
    add('unpin', ['images'], async (image, { signal }) => {
      const { changed } = await admin.unpin(image, signal);
      return result(image, changed ? 'no longer pinned' : 'it was not pinned');
    });
    add('evict', ['images', 'dryRun'], (image, context) => this.#evict(image, context));
    if (deleter !== undefined) {
      add('delete', ['images', 'dryRun'], (image, context) => this.#delete(image, deleter, context));
      add('restore', ['images', 'digest'], (image, context) => this.#restore(image, context));
      add('promote', ['images', 'to', 'platforms'], (image, context) => this.#promote(image, context));
      add('gc', ['dryRun'], (_image, context) => this.#collect(context));
    }
    if (warm !== undefined)
      add('warm', ['images', 'platforms'], (image, context) => long(warm, [image], context));
    if (scrub !== undefined) add('scrub', [], (_image, context) => long(scrub, [], context));
  }

  get names(): readonly ActionName[] {
    return [...this.#runs.keys()];
  }

  /** Undefined: it doesn't work on this mirror. */
  of(action: ActionName): ActionRun | undefined {
    return this.#runs.get(action);
  }

  async #evict(image: string, { request: { dryRun }, signal }: RunContext): Promise<JobResult> {
    const { freedBytes, tags, kept } = await this.#options.admin.evict(image, signal, { dryRun });
    const rest = kept === 0 ? '' : `, ${kept} parts stay because something else needs them`;
    const summary = `${dryRun ? 'would free' : 'freed'} ${formatBytes(freedBytes)}${rest}`;
    return { ...result(image, summary), freedBytes, tags };
  }

  async #delete(image: string, deleter: RegistryDeleter, context: RunContext): Promise<JobResult> {
    const { caller, signal, request } = context;
    const { host, repository, reference } = parseImage(image, this.#options.hosts);
    if (host !== '')
      throw new RegistryError('UNSUPPORTED', {
        message: `${image} is not hosted here, so it is evicted and not deleted`,
      });
    const { image: row, otherTags } = await this.#options.details.of({ name: image }, caller, signal);
    const byDigest = isDigest(reference);
    const tags = byDigest ? otherTags : [reference];
    const freedBytes = byDigest || otherTags.length === 0 ? row.ownBytes : 0;
    const options = { caller, signal };
    if (!request.dryRun && byDigest) {
      await deleter.deleteManifest(repository, reference, options);
      this.#options.tell(repository, { type: 'manifest-deleted', digest: reference });
    } else if (!request.dryRun && !byDigest) {
      await deleter.deleteTag(repository, reference, options);
      this.#options.tell(repository, { type: 'tag-deleted', tag: reference });
    }
    const freed =
      freedBytes === null
        ? 'what nothing else needs is freed'
        : freedBytes === 0
          ? 'nothing is freed, other tags have the same content'
          : `about ${formatBytes(freedBytes)} are freed`;
    const went = request.dryRun ? 'would go' : 'is deleted';
    const summary = `${image} ${went}; ${freed} by a later collection`;
    return { ...result(image, summary), freedBytes, tags };
  }

  async #restore(image: string, { request: { digest }, caller, signal }: RunContext): Promise<JobResult> {
    const wanted = digest === undefined ? {} : { digest };
    const restored = await this.#options.admin.tags.restore(image, wanted, { user: caller.user, signal });
    const tags = restored.tags.map(({ tag }) => tag);
    const changed = tags.length + restored.undeleted.length > 0;
    const summary = changed ? `restored to ${restored.digest}` : `it is ${restored.digest} already`;
    return { ...result(image, summary), tags };
  }

  async #promote(image: string, { request, caller, signal }: RunContext): Promise<JobResult> {
    const { to = '', platforms } = request;
    const by = { user: caller.user, signal };
    const promoted = await this.#options.admin.tags.promote(image, to, platforms, by);
    const { fetchedBytes } = promoted;
    return { ...result(image, `${promoted.to} is ${promoted.digest} now`), fetchedBytes };
  }

  async #collect({ request: { dryRun }, signal }: RunContext): Promise<JobResult> {
    const { freedBytes, blobs, repositories } = await this.#options.admin.gc({ dryRun }, signal);
    const where = `${repositories.length} ${repositories.length === 1 ? 'repository' : 'repositories'}`;
    const summary = `${dryRun ? 'would remove' : 'removed'} ${blobs} files, ${formatBytes(freedBytes)}, of ${where}`;
    return { ...result(null, summary), freedBytes };
  }
}

type Taken = 'images' | 'dryRun' | 'platforms' | 'to' | 'digest';

/** Errors: UNSUPPORTED (400). */
function checkTaken(action: ActionName, takes: readonly Taken[], request: ActionRequest): ActionRequest {
  const { images, dryRun, platforms, to, digest } = request;
  const refuse = (message: string) => new RegistryError('UNSUPPORTED', { status: 400, message });
  const given: Readonly<Record<Taken, boolean>> = {
    images: images.length > 0,
    dryRun,
    platforms: platforms.length > 0,
    to: to !== undefined,
    digest: digest !== undefined,
  };
  for (const [field, isGiven] of Object.entries(given))
    if (isGiven && !takes.some(taken => taken === field)) throw refuse(`${action} takes no ${field}`);
  if (takes.includes('images') && images.length === 0) throw refuse(`${action} needs images`);
  if (takes.includes('to') && (to === undefined || images.length !== 1))
    throw refuse(`${action} takes one image, and in "to" what it becomes`);
  return request;
}

async function long(
  work: LongWork,
  images: readonly string[],
  { request: { platforms }, progress, signal }: RunContext,
): Promise<JobResult> {
  const { summary, fetchedBytes = null } = await work.run(images, platforms, progress, signal);
  return { ...result(images[0] ?? null, summary), fetchedBytes };
}

function result(image: string | null, summary: string): JobResult {
  return { image, summary, freedBytes: null, fetchedBytes: null, tags: [], error: null };
}
