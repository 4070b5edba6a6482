/**
 * Sessions of the page: a login is kept here under a random token that only its browser has, for twelve hours at most, until it is ended, or
 * until its user is gone or has another password. In memory: a restart ends them all, and what is ended stays ended.
 */
import { createHash, randomBytes } from 'node:crypto';
import { ExpiringMap } from '../lib/expiring-map.ts';
import type { Access, Authenticated, SessionIdentity } from './access.ts';
import type { Credentials } from './identity/credentials.ts';

export interface SessionsOptions {
  readonly access: Pick<Access, 'beginSession' | 'resumeSession'>;
  /** Milliseconds since the epoch. */
  now(): number;
}

export interface BegunSession {
  /** For the cookie. */
  readonly token: string;
  /** Milliseconds since the epoch. */
  readonly expiresMs: number;
}

export interface ResumedSession extends Authenticated {
  readonly expiresMs: number;
}

/** Twelve hours. */
export const sessionMs = 12 * 3_600_000;
/** The one that began longest ago goes. Each of them took right credentials. */
const maxSessions = 10_000;
const tokenBytes = 32;

export class Sessions {
  readonly #options: SessionsOptions;
  /** By the hash of the token: a dump of the memory gives no token. */
  readonly #sessions: ExpiringMap<string, SessionIdentity>;

  constructor(options: SessionsOptions) {
    this.#options = options;
    const { now } = options;
    this.#sessions = new ExpiringMap({ maxEntries: maxSessions, ttlMs: sessionMs, now });
  }

  /** Errors: as `Access.authenticate`: failed logins count as they do elsewhere. */
  async begin(credentials: Credentials, address: string | undefined): Promise<BegunSession> {
    const identity = await this.#options.access.beginSession(credentials, address);
    const token = randomBytes(tokenBytes).toString('base64url');
    this.#sessions.set(hashOf(token), identity);
    return { token, expiresMs: this.#options.now() + sessionMs };
  }

  /** Undefined: no session, or one that is over. */
  async resume(token: string, address: string | undefined): Promise<ResumedSession | undefined> {
    const key = hashOf(token);
    const entry = this.#sessions.getExpired(key);
    if (entry === undefined || !entry.isFresh) return undefined;
    const authenticated = await this.#options.access.resumeSession(entry.value, address);
    if (authenticated === undefined) this.#sessions.delete(key);
    return authenticated && { ...authenticated, expiresMs: entry.setAtMs + sessionMs };
  }

  /** Idempotent. */
  end(token: string): void {
    this.#sessions.delete(hashOf(token));
  }
}

function hashOf(token: string): string {
  return createHash('sha256').update(token).digest('base64');
}
