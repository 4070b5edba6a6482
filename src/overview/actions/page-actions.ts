/**
 * The actions of the page: who may begin them, and what they do. A caller needs a login and the `admin` action for every repository that a
 * request names, and for all that there are where it is about everything; nothing is looked up before that is decided.
 */
import { type ImageHosts, parseImage, parseImageOrBlob } from '../../admin/image-name.ts';
import type { ActionRequest, JobAnswer } from '../../http/api/schema/actions.ts';
import type { ActionName, SessionAnswer } from '../../http/api/schema/session.ts';
import { RegistryError } from '../../oci/error.ts';
import type { Caller } from '../../registry/caller.ts';
import type { EventOrigin, RegistryEventListener } from '../../telemetry/registry-events.ts';
import type { HeldRepositories } from '../held/held-repositories.ts';
import { type ActionRun, type ActionRuns, isAboutAll } from './action-runs.ts';
import { failure, type Jobs, type JobWork } from './jobs.ts';

export interface PageActionsOptions {
  readonly hosts: ImageHosts;
  readonly repositories: Pick<HeldRepositories, 'names'>;
  readonly jobs: Jobs;
  readonly runs: ActionRuns;
  /** Keys of the upstreams: a caller may have the right for all of what isn't held yet. */
  readonly upstreams: readonly string[];
  readonly events: Pick<RegistryEventListener, 'happened'>;
}

/** A name that no repository has: a right for everything covers it too. */
const anyName = 'cistern-any-repository';
const namesPerLook = 500;

export class PageActions {
  readonly #options: PageActionsOptions;

  constructor(options: PageActionsOptions) {
    this.#options = options;
  }

  get names(): readonly ActionName[] {
    return this.#options.runs.names;
  }

  async administers(caller: Caller, signal: AbortSignal): Promise<SessionAnswer['administers']> {
    let [has, lacks] = [false, false];
    for await (const name of this.#allNames(signal)) {
      if (caller.mayAdminister(name)) has = true;
      else lacks = true;
      if (has && lacks) return 'some';
    }
    return has ? 'all' : 'none';
  }

  /** The id of the job. Errors: DENIED; UNSUPPORTED; NAME_INVALID, TAG_INVALID, DIGEST_INVALID. */
  async begin(
    action: ActionName,
    request: ActionRequest,
    caller: Caller,
    origin: EventOrigin,
    signal: AbortSignal,
  ): Promise<string> {
    const { runs, jobs } = this.#options;
    await this.#requireRights(action, request, caller, signal);
    const run = runs.of(action);
    if (run === undefined)
      throw new RegistryError('UNSUPPORTED', { message: `${action} does not work on this mirror` });
    const { images, dryRun } = run.check(request);
    const job = { action, images, dryRun, user: caller.user };
    return jobs.begin(job, this.#workOf(action, run, request, caller, origin));
  }

  /** Undefined: no such job, or another user's. */
  job(id: string, caller: Caller): JobAnswer | undefined {
    const job = this.#options.jobs.get(id);
    return job?.user === (caller.user ?? null) && caller.user !== undefined ? job : undefined;
  }

  listen(caller: Caller, onJob: (job: JobAnswer) => void): () => void {
    return caller.user === undefined ? () => {} : this.#options.jobs.listen(caller.user, onJob);
  }

  #workOf(
    action: ActionName,
    run: ActionRun,
    request: ActionRequest,
    caller: Caller,
    origin: EventOrigin,
  ): JobWork {
    return async (progress, signal) => {
      const targets = isAboutAll(action) ? [null] : request.images;
      for (const [at, image] of targets.entries()) {
        if (image !== null) progress.at(at, targets.length, 'images');
        signal.throwIfAborted();
        let result = 'ok';
        try {
          progress.add(await run.one(image ?? '', { request, caller, signal, progress }));
        } catch (error) {
          signal.throwIfAborted();
          progress.add(failure(image, error));
          result = error instanceof RegistryError ? error.code : 'UNKNOWN';
          if (!(error instanceof RegistryError)) throw error;
        } finally {
          if (!request.dryRun)
            this.#options.events.happened({
              type: 'administered',
              origin,
              action,
              result,
              ...(image !== null && { target: image }),
            });
        }
      }
      progress.at(targets.length, targets.length, isAboutAll(action) ? action : 'images');
    };
  }

  async #requireRights(
    action: ActionName,
    { images, to }: ActionRequest,
    caller: Caller,
    signal: AbortSignal,
  ): Promise<void> {
    const { hosts } = this.#options;
    const named = [...images, ...(to === undefined ? [] : [to])];
    const names: string[] = [];
    let needsAll = isAboutAll(action);
    for (const text of named) {
      const image =
        action === 'evict' ? parseImageOrBlob(text, hosts) : parseImage(withoutDigest(text), hosts);
      if (typeof image === 'string')
        needsAll = true; // a blob may be of any repository
      else names.push(image.name);
    }
    const lacking = names.find(name => !caller.mayAdminister(name));
    if (lacking !== undefined)
      throw new RegistryError('DENIED', { message: `you may not administer ${lacking}` });
    if (needsAll && (await this.administers(caller, signal)) !== 'all')
      throw new RegistryError('DENIED', {
        message: 'this is about all repositories, and you may not administer all of them',
      });
  }

  async *#allNames(signal: AbortSignal): AsyncGenerator<string> {
    const { upstreams, repositories } = this.#options;
    yield anyName;
    for (const key of upstreams) yield `${key}/${anyName}`;
    const names = await repositories.names(signal);
    for (let at = 0; at < names.length; at += 1) {
      if (at % namesPerLook === namesPerLook - 1) await new Promise(resolve => setImmediate(resolve));
      yield names[at] ?? '';
    }
  }
}

/** `team/app:v1@sha256:…` is `team/app:v1`: of what it points to, a restore says the rest. */
function withoutDigest(text: string): string {
  const at = text.lastIndexOf('@');
  const name = at === -1 ? text : text.slice(0, at);
  return name.includes(':', name.lastIndexOf('/') + 1) ? name : text;
}
