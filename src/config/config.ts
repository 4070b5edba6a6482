/**
 * The effective configuration: file, environment and defaults together, checked, with absolute paths, secrets read and units
 * in the names. Only `app/` and `cli/` read it; every other room gets narrow constructor options.
 */

import type { AccessConfig } from './access-config.ts';
import type { TlsConfig } from './certificate.ts';
import type { TracingConfig } from './sections/tracing.ts';
import type { WarmConfig } from './sections/warm.ts';

export interface Config {
  readonly http: HttpConfig;
  readonly store: StoreConfig;
  readonly lru: LruConfig;
  /** By canonical key (`docker.io`, `localhost:5000`), in the order of the file. Empty only where something is hosted. */
  readonly upstreams: ReadonlyMap<string, UpstreamConfig>;
  /** A key of `upstreams`; absent when there are none. */
  readonly defaultUpstream?: string;
  readonly offline: boolean;
  readonly tags: TagsConfig;
  readonly hosted: HostedConfig;
  readonly access: AccessConfig;
  readonly warm: readonly WarmConfig[];
  readonly notifications: readonly NotificationConfig[];
  /** Undefined: this mirror stands alone. */
  readonly fleet?: FleetConfig;
  readonly metrics: MetricsConfig;
  readonly log: LogConfig;
  /** Undefined: no traces. */
  readonly tracing?: TracingConfig;
}

/** Where to listen. `host` is an IP address (IPv6 without brackets) or a name; `port` 0 asks for a free one. */
export interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

export interface ListenerConfig extends ListenAddress {
  /** Speaks TLS with `HttpConfig.tls`, and refuses plain HTTP. Absent: speaks plain HTTP. */
  readonly tls?: boolean;
  /** False: no challenge, and every caller is anonymous. Absent: as true. */
  readonly login?: boolean;
}

export interface HttpConfig {
  /** At least one. */
  readonly listen: readonly ListenerConfig[];
  /** Undefined: all listeners speak plain HTTP. */
  readonly tls?: TlsConfig;
  /** Without a trailing slash. */
  readonly publicUrl?: string;
  /** Further hosts (with port, if any) under which clients know this mirror. Lower case. */
  readonly names: readonly string[];
  /** IP addresses and CIDR blocks, as `node:net` BlockList takes them. */
  readonly trustedProxies: readonly string[];
  readonly drainMs: number;
  /** 0: as the descriptor limit of the process allows. */
  readonly maxConnections: number;
  /** Undefined: every blob is sent by this process. */
  readonly accel?: { readonly header: string; readonly prefix: string };
}

export interface StoreConfig {
  /** Absolute. */
  readonly path: string;
  /** Infinity: no limit. */
  readonly maxBytes: number;
  /** Undefined: the store's own rule (2 GiB, at most 5 % of the disk). */
  readonly minFreeBytes: number | undefined;
  /** Above 0, at most 1. */
  readonly lowWatermark: number;
  /** 0: partials aren't kept. */
  readonly partialTtlMs: number;
  /** 0: no age makes a held blob be verified again. */
  readonly verifyAfterMs: number;
  /** 0: records never go. */
  readonly recordsTtlMs: number;
  /** `everyMs` 0: only when a command asks for it. `bytesPerSecond` 0: as fast as the disk reads. */
  readonly scrub: { readonly everyMs: number; readonly bytesPerSecond: number };
}

export interface LruConfig {
  /** Absent: the LRU index is kept in this process. */
  readonly redis?: RedisConfig;
  /** The mirror doesn't start without Redis. */
  readonly required: boolean;
}

export interface RedisConfig {
  /** What `addresses` are: the server, the Sentinels that know where it is, or some nodes of a Cluster. */
  readonly mode: 'single' | 'sentinel' | 'cluster';
  /** At least one. */
  readonly addresses: readonly ListenAddress[];
  /** What the Sentinels call the master. Given with mode `sentinel`. */
  readonly sentinelName?: string;
  /** Without it and with a password: Redis' own user `default`. */
  readonly username?: string;
  readonly password?: string;
  readonly sentinelUsername?: string;
  readonly sentinelPassword?: string;
  readonly database: number;
  readonly tls: boolean;
  /** PEM text of further trusted certificates. */
  readonly ca?: string;
}

export interface UpstreamConfig {
  /** Canonical host, with its port if it has one: the label in metrics and the first segment of names. */
  readonly key: string;
  /**
   * http or https; no userinfo or fragment. A path is a prefix in front of the API; the only query is `?ns=HOST`, for a
   * mirror of several registries.
   */
  readonly url: URL;
  /** Asked after `url`, in this order, without credentials. */
  readonly fallbacks: readonly URL[];
  /** `username` and `password` are both there or both absent. */
  readonly username?: string;
  readonly password?: string;
  /** Absolute: where the password came from. It may change. */
  readonly passwordFile?: string;
  /** Instead of `username`. */
  readonly credentialHelper?: { readonly name: string; readonly ttlMs: number };
  /** By repository, in order; they go before the others. */
  readonly credentials: readonly CredentialsConfig[];
  /** PEM texts. */
  readonly clientCertificate?: { readonly certificate: string; readonly key: string };
  /** Before each repository, without slashes at its ends. */
  readonly prefix?: string;
  /** `all`: everyone gets what the credentials can get. */
  readonly share: 'public' | 'all';
  /** PEM text of further trusted certificates. */
  readonly ca?: string;
  /** The certificate isn't checked. */
  readonly insecure: boolean;
  readonly ip: 'any' | 4 | 6;
  /** Absent: everything is reached directly. */
  readonly proxy?: ProxyConfig;
  /** Further hosts that may be asked for tokens, with the credentials or without. */
  readonly tokenHosts: readonly string[];
  /** Further hosts that mean this upstream; without those that every upstream of that key has. */
  readonly aliases: readonly string[];
  /** Patterns over this upstream's repositories (`library/**`); none: all allowed. */
  readonly allow: readonly string[];
  /** As `allow`; goes first. */
  readonly deny: readonly string[];
  readonly finish: 'always' | 'never';
  readonly maxTransfers: number;
  readonly timeouts: UpstreamTimeouts;
}

export interface CredentialsConfig {
  /** Patterns over this upstream's repositories. At least one. */
  readonly repositories: readonly string[];
  readonly username: string;
  readonly password: string;
  /** As in `UpstreamConfig`. */
  readonly passwordFile?: string;
}

/** Proxies by the scheme of what is reached through them. http or https URLs that may hold credentials: never to be printed. */
export interface ProxyConfig {
  readonly http?: URL;
  readonly https?: URL;
  /** Entries as in NO_PROXY: hosts, suffixes, addresses and blocks that are reached directly. */
  readonly bypass: readonly string[];
}

export interface UpstreamTimeouts {
  readonly connectMs: number;
  readonly firstByteMs: number;
  readonly stallMs: number;
  readonly giveUpMs: number;
  /** Bytes per second, over a minute; 0: none. */
  readonly minRate: number;
}

export interface TagsConfig {
  /** 0: checked on every request. */
  readonly ttlMs: number;
  /** The first that fits counts instead of `ttlMs`. */
  readonly patterns: readonly TagRuleConfig[];
  readonly checkTimeoutMs: number;
  /** Infinity: a held tag is served however old it is. */
  readonly staleIfErrorMs: number;
  readonly on404: 'keep' | 'honour';
  /** 0: misses aren't remembered. */
  readonly negativeTtlMs: number;
}

export interface TagRuleConfig {
  /** Patterns over canonical names (`docker.io/library/**`). At least one. */
  readonly repositories: readonly string[];
  /** Patterns over tags (`v*.*.*`). At least one. */
  readonly tags: readonly string[];
  readonly ttlMs: number;
}

/** The private registry. Patterns are over its own names (`team/**`), which have no host. */
export interface HostedConfig {
  /** Empty: nothing is hosted, and pushes are refused. */
  readonly repositories: readonly string[];
  /** Patterns over `REPOSITORY:TAG`. */
  readonly immutable: readonly string[];
  readonly quotas: readonly QuotaConfig[];
  readonly retention: readonly RetentionConfig[];
  /** Text: refused clients are told that. */
  readonly readOnly: boolean | string;
  /** How long an upload is kept that no request continues; 0: for ever. */
  readonly uploadTtlMs: number;
  /** How long what was pushed is kept although nothing names it. */
  readonly gcGraceMs: number;
  /** How long what was deleted can be restored. */
  readonly undeleteMs: number;
  /** How long a manifest is kept after its last tag moved away; 0: for ever. */
  readonly untaggedTtlMs: number;
  /** Of all that is hosted. Infinity: no limit but the disk. */
  readonly maxBytes: number;
}

/** `maxBytes`, `maxTags` or both are there. */
export interface QuotaConfig {
  /** At least one. */
  readonly repositories: readonly string[];
  /** Unique bytes linked within the pattern. */
  readonly maxBytes?: number;
  readonly maxTags?: number;
}

/** A tag that matches is kept while any of `keep` says so. */
export interface RetentionConfig {
  /** At least one. */
  readonly repositories: readonly string[];
  /** At least one. */
  readonly tags: readonly string[];
  /** At least one of them is there. */
  readonly keep: {
    readonly newest?: number;
    readonly pushedWithinMs?: number;
    readonly pulledWithinMs?: number;
  };
}

export interface NotificationConfig {
  /** Unique. */
  readonly name: string;
  /** http or https, without userinfo. Its query may be a secret. */
  readonly url: URL;
  /** What bodies are signed with: never to be printed. Undefined: they aren't signed. */
  readonly secret?: string;
  /** At least one. */
  readonly events: readonly ('push' | 'pull' | 'delete')[];
  /** Patterns over canonical names; none: all. */
  readonly repositories: readonly string[];
}

export interface FleetConfig {
  /** Nodes of one name on one Redis are one fleet. */
  readonly name: string;
  /** Where the other nodes reach this one. Without a trailing slash. */
  readonly advertise: string;
  /** The same on all nodes: never to be printed. */
  readonly secret: string;
}

export interface MetricsConfig {
  /** Begins with a slash. */
  readonly path: string;
  /** Given: metrics are served there and nowhere else. */
  readonly listen?: ListenAddress;
}

export interface LogConfig {
  readonly level: 'debug' | 'info' | 'warn' | 'error';
  /** `auto`: text on a terminal, else JSON. */
  readonly format: 'auto' | 'json' | 'text';
  /** A line per request. */
  readonly access: boolean;
  /** `stdout`, or the absolute path of a file; undefined: no audit log. */
  readonly audit?: string;
}
