/**
 * `cistern check --upstreams`: asks each URL of each upstream once, by the same way as the mirror does (proxy, certificates,
 * credentials, token), for a manifest that costs nothing. What it answers is a finding, not an error.
 */

import { connect } from 'node:tls';
import type { Config, UpstreamConfig } from '../config/config.ts';
import { HUB, parseReference, parseRepository } from '../oci/name.ts';
import { UpstreamError } from '../registry/upstream-error.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { Observer, RateLimit } from '../telemetry/observer.ts';
import { openConfigured } from './open-upstream.ts';

export interface UpstreamFinding {
  readonly upstream: string;
  readonly url: URL;
  readonly isReachable: boolean;
  /** Why it can't be used: `getaddrinfo ENOTFOUND ghcr.io`, `certificate has expired`. */
  readonly reason: string | undefined;
  /** Status of the answer of its token server; undefined: no token was needed. */
  readonly tokenStatus: number | undefined;
  readonly areCredentialsRefused: boolean;
  readonly limit: RateLimit | undefined;
  /** Until when its certificate is valid; undefined: plain http, through a proxy, or not seen. */
  readonly validUntil: Date | undefined;
}

/** Docker Hub keeps it for this purpose: its headers tell the pull limit, and a HEAD doesn't count. */
const hubPreview = { repository: 'ratelimitpreview/test', reference: 'latest' };
/** Most likely it isn't there, which is an answer too. */
const anyImage = { repository: 'cistern/check', reference: 'latest' };

const silent: Logger = {
  debug: () => {},
  info: () => {},
  warn: () => {},
  error: () => {},
  child: () => silent,
};

export async function checkUpstreams(
  { upstreams }: Pick<Config, 'upstreams'>,
  signal: AbortSignal,
): Promise<readonly UpstreamFinding[]> {
  const asked = [...upstreams.values()].flatMap(upstream =>
    [upstream.url, ...upstream.fallbacks].map((url, index) => ask(upstream, url, index === 0, signal)),
  );
  return Promise.all(asked);
}

/** The upstream answered, whatever it said. `paused`: a HEAD that told nothing, which no GET follows here. */
const answered: ReadonlySet<string> = new Set(['gone', 'denied', 'limited', 'paused', 'credentials']);

/** `isFirst`: credentials belong to the first URL. */
async function ask(
  upstream: UpstreamConfig,
  url: URL,
  isFirst: boolean,
  signal: AbortSignal,
): Promise<UpstreamFinding> {
  const { key } = upstream;
  let tokenStatus: number | undefined;
  let areCredentialsRefused = false;
  let limit: RateLimit | undefined;
  const observer: Observer = {
    ...ignoring,
    upstreamAnswered: (_upstream, kind, _method, status) => {
      if (kind === 'token') tokenStatus = status;
    },
    upstreamCredentials: (_upstream, areAccepted) => {
      areCredentialsRefused = !areAccepted;
    },
    upstreamRateLimit: (_upstream, found) => {
      limit = found;
    },
  };
  const origin = openConfigured(
    { ...upstream, url, fallbacks: [] },
    { observer, anonymous: !isFirst, logger: silent, now: Date.now },
  );
  const { repository, reference } = key === HUB ? hubPreview : anyImage;
  let failure: UpstreamError | undefined;
  try {
    await origin.resolve(parseRepository(repository), parseReference(reference), { signal, headOnly: true });
  } catch (error) {
    if (!(error instanceof UpstreamError)) throw error;
    failure = error;
  } finally {
    await origin.close();
  }
  const isReachable = failure === undefined || answered.has(failure.failure);
  const isDirect = url.protocol === 'https:' && upstream.proxy === undefined;
  return {
    upstream: key,
    url,
    isReachable,
    reason: isReachable ? undefined : describeFailure(failure),
    tokenStatus,
    areCredentialsRefused,
    limit,
    validUntil: isReachable && isDirect ? await readValidity(url, upstream.timeouts.connectMs) : undefined,
  };
}

/** The innermost cause says it in the words of the system or of TLS. */
function describeFailure(error: Error | undefined): string {
  let cause: unknown = error;
  while (cause instanceof Error && cause.cause instanceof Error) cause = cause.cause;
  if (!(cause instanceof Error) || error === undefined) return 'for an unknown reason';
  const message = cause.message === '' ? error.message : cause.message;
  return message.replace(/^\S+ cannot be reached: /, '');
}

/** Undefined when it can't be seen in time. */
function readValidity(url: URL, timeoutMs: number): Promise<Date | undefined> {
  return new Promise(resolve => {
    const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
    const socket = connect(
      { host, port: Number(url.port || 443), servername: host, rejectUnauthorized: false },
      () => {
        const { valid_to: text } = socket.getPeerCertificate();
        socket.destroy();
        resolve(text === undefined ? undefined : new Date(text));
      },
    );
    socket.setTimeout(timeoutMs, () => socket.destroy());
    socket.on('error', () => {}); // `close` follows
    socket.on('close', () => resolve(undefined));
  });
}

export const ignoring: Observer = {
  requestEnded: () => {},
  upstreamAnswered: () => {},
  upstreamBytes: () => {},
  upstreamRateLimit: () => {},
  upstreamUp: () => {},
  breakerOpen: () => {},
  upstreamCredentials: () => {},
  downloadStarted: () => {},
  downloadEnded: () => {},
  downloadResumed: () => {},
  followerJoined: () => {},
  followerLeft: () => {},
  digestMismatch: () => {},
  evicted: () => {},
  storeError: () => {},
};
