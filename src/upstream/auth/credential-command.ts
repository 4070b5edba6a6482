/**
 * Credentials from a program: Docker's credential helpers (`docker-credential-ecr-login get`, the server on its standard
 * input, JSON on its output). Run once for all that wait, and again after its time or a refusal. One that fails counts as
 * no credentials for a minute, with a warning.
 */
import { execFile } from 'node:child_process';
import { SingleFlight } from '../../lib/single-flight.ts';
import { HUB } from '../../oci/name.ts';
import type { Logger } from '../../telemetry/logger.ts';
import { basicCredentials, type CredentialProvider, type Credentials } from './credential-provider.ts';

export interface CredentialHelperOptions {
  /** The upstream's, for the log. */
  readonly key: string;
  /** `ecr-login` for `docker-credential-ecr-login`. */
  readonly name: string;
  readonly url: URL;
  /** How long its credentials are used. */
  readonly ttlMs: number;
  readonly logger: Logger;
  /** Milliseconds since the epoch. */
  now(): number;
}

const runMs = 5000;
const failedMs = 60_000;
/** It may give the refused ones again: then it isn't asked after each refusal. */
const sameMs = 10_000;
const maxBytes = 64 * 1024;
/** What Docker puts in the place of a user name when the secret is a refresh token. */
const tokenUser = '<token>';

export class CredentialHelper implements CredentialProvider {
  readonly #options: CredentialHelperOptions;
  readonly #runs = new SingleFlight<void>();
  #held: { readonly credentials: Credentials | undefined; readonly untilMs: number } | undefined;
  #sameUntilMs = Number.NEGATIVE_INFINITY;

  constructor(options: CredentialHelperOptions) {
    this.#options = options;
  }

  async get(refused?: Credentials): Promise<Credentials | undefined> {
    const { now } = this.#options;
    const held = this.#held;
    const isRefused = refused !== undefined && held?.credentials?.authorization === refused.authorization;
    const isDue = held === undefined || held.untilMs <= now() || (isRefused && this.#sameUntilMs <= now());
    if (isDue) await this.#runs.run('get', new AbortController().signal, () => this.#renew());
    const found = this.#held?.credentials;
    if (isDue && isRefused && found?.authorization === refused.authorization)
      this.#sameUntilMs = now() + sameMs;
    return found;
  }

  async #renew(): Promise<void> {
    const { key, name, url, ttlMs, logger, now } = this.#options;
    try {
      const credentials = parseAnswer(await runHelper(`docker-credential-${name}`, serverOf(url)));
      this.#held = { credentials, untilMs: now() + ttlMs };
    } catch (error) {
      const why = error instanceof HelperFailure ? error.message : 'it cannot be run';
      logger.warn('the credential helper gives no credentials, going on without', {
        upstream: key,
        name,
        why,
      });
      this.#held = { credentials: undefined, untilMs: now() + failedMs };
    }
  }
}

/** Why there are no credentials. The message holds nothing that the helper printed: it may be a secret. */
class HelperFailure extends Error {
  override readonly name = 'HelperFailure';
}

/** As docker names it: Docker Hub by its old URL, others by their host. */
function serverOf({ hostname, host }: URL): string {
  return hostname === HUB || hostname.endsWith(`.${HUB}`) ? 'https://index.docker.io/v1/' : host;
}

/** Its standard output. Errors: `HelperFailure`. */
function runHelper(program: string, server: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const options = { timeout: runMs, killSignal: 'SIGKILL', maxBuffer: maxBytes } as const;
    const child = execFile(program, ['get'], options, (error, output) => {
      if (error === null) resolve(output);
      else reject(new HelperFailure(describe(program, error)));
    });
    child.stdin?.on('error', () => undefined); // a helper that does not read has its say by its exit code
    child.stdin?.end(server);
  });
}

function describe(program: string, error: Error & { code?: unknown; killed?: boolean }): string {
  if (error.code === 'ENOENT') return `${program} is not in PATH`;
  if (error.killed === true) return `${program} was ended: it ran over ${runMs} ms or printed too much`;
  return typeof error.code === 'number'
    ? `${program} ended with exit code ${error.code}`
    : `${program} cannot be run (${String(error.code)})`;
}

/** Errors: `HelperFailure`. */
function parseAnswer(output: string): Credentials {
  let answer: unknown;
  try {
    answer = JSON.parse(output);
  } catch {
    throw new HelperFailure('its answer is no JSON');
  }
  const fields: Readonly<Record<string, unknown>> = { ...(typeof answer === 'object' ? answer : {}) };
  const { Username: username, Secret: secret } = fields;
  if (typeof username !== 'string' || typeof secret !== 'string' || secret === '')
    throw new HelperFailure('its answer has no Username and Secret');
  const credentials = basicCredentials(username, secret);
  return username === tokenUser ? { ...credentials, refreshToken: secret } : credentials;
}
