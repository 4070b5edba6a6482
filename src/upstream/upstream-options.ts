/**
 * What an upstream is made from, and what it offers beyond `Origin` to those who have several of them. Narrow and without
 * a word of the configuration's own, which `app/mirror.ts` translates.
 */

import type { Timers } from '../lib/timers.ts';
import type { BlobSource, OpenedSource } from '../registry/registry.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { Observer } from '../telemetry/observer.ts';
import type { HealthObserver } from './health/health.ts';
import type { Lookup } from './transport/dial.ts';
import type { ProxyOptions } from './transport/proxy.ts';

export interface UpstreamOptions {
  /** As configured: `docker.io`. */
  readonly key: string;
  /** http or https; may have a path, under which the API is, and `?ns=HOST`, which goes along with every request. */
  readonly url: URL;
  readonly credentials?: { readonly username: string; readonly password: string };
  /** Certificates in PEM, trusted beside the public ones. */
  readonly ca?: string;
  /** Any certificate will do. */
  readonly insecure: boolean;
  /** Which addresses names are resolved to. */
  readonly ip: 'any' | 4 | 6;
  readonly proxy?: ProxyOptions;
  /** Hosts (or `host:port`) beside the upstream's own that may ask for its credentials. */
  readonly tokenHosts: readonly string[];
  /** Blob bodies at once, per host. */
  readonly maxTransfers: number;
  readonly timeouts: {
    readonly connectMs: number;
    /** Of a whole operation until its answer. */
    readonly firstByteMs: number;
    /** Not used here: whoever reads a transfer watches it. */
    readonly stallMs: number;
    readonly giveUpMs: number;
  };
  readonly userAgent: string;
}

export interface UpstreamDependencies {
  readonly observer: Observer;
  readonly logger: Logger;
  /** ms since the epoch. */
  now(): number;
  readonly timers?: Timers;
  readonly lookup?: Lookup;
  /** Hears of the host's health instead of `observer`. */
  readonly healthObserver?: HealthObserver;
}

/** How much of the whole time it may take, where others are to be asked too. */
export interface Share {
  readonly budgetMs?: number | undefined;
}

export interface UpstreamSource extends BlobSource {
  open(offset: number, options: Parameters<BlobSource['open']>[1] & Share): Promise<OpenedSource>;
}
