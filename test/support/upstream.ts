/**
 * The fault-injecting registry that integration tests use as upstream: real sockets on 127.0.0.1, content put in by the test,
 * an exact list of what it was asked.
 *
 *     const upstream = await startFakeUpstream({ redirect: true, auth: { kind: 'token' } });   // closed after the test
 *     const image = buildImage({ layers: ['layer a', patternBlob('big', 100_000_000)] });
 *     upstream.put('library/alpine', image, '3.20');
 *     upstream.fault({ digest }, cut(50_000_000));                        // once; { times: 'always', nth: 2 } as third argument
 *     const gate = upstream.holdAfter({ digest }, 50_000_000);            // await gate.reached; gate.release()
 *     … pull …
 *     expect(upstream.lines({ host: 'registry' })).toEqual([manifestLine('3.20'), blobLine(digest)]);
 *     expect(upstream.contentBytes('blob')).toBe(100_000_000);
 */
import { onTestFinished } from 'vitest';
import type { Digest } from '../../src/oci/digest.ts';
import { CertificateAuthority } from './certificates.ts';
import type { BlobContent } from './content.ts';
import { FakeHost } from './fake-host.ts';
import {
  type Fault,
  type FaultOptions,
  type FaultRule,
  FaultTable,
  type RequestMatch,
  stall,
} from './faults.ts';
import { Gate } from './gates.ts';
import type { BuiltImage } from './images.ts';
import { PullQuota, type RateLimitOptions } from './rate-limit.ts';
import { RepositoryContent } from './repository-content.ts';
import {
  type HostRole,
  type LineOptions,
  type RequestEntry,
  type RequestKind,
  RequestLog,
} from './request-log.ts';
import { SignedUrls } from './signed-urls.ts';
import { makeTempDir } from './temp-dir.ts';
import { type AuthOptions, BasicAuthenticator, TokenIssuer } from './upstream-auth.ts';
import { type Quirks, UpstreamHandler } from './upstream-handler.ts';

export interface FakeUpstreamOptions {
  /** HTTPS for all its hosts, with an authority of its own (`caPem`, `caFile`). */
  readonly tls?: boolean;
  readonly auth?: AuthOptions;
  /** Blobs (GET and HEAD) are redirected to a second host. Defaults of the object: 307, one use for each URL. */
  readonly redirect?: boolean | { readonly status?: number; readonly uses?: number };
  readonly rateLimit?: RateLimitOptions;
  readonly quirks?: Quirks;
}

/** Starts it for the running test, which closes it at its end. */
export async function startFakeUpstream(options: FakeUpstreamOptions = {}): Promise<FakeUpstream> {
  const upstream = await FakeUpstream.start(options);
  onTestFinished(() => upstream.close());
  return upstream;
}

export class FakeUpstream {
  /** Repositories with blobs, manifests and tags; the usual calls are also here. */
  readonly content = new RepositoryContent();
  readonly log = new RequestLog();
  readonly faults = new FaultTable();
  /** With token authentication. */
  readonly tokens: TokenIssuer | undefined;
  /** With a rate limit; `remaining` may be set. */
  readonly quota: PullQuota | undefined;
  readonly #authority: CertificateAuthority | undefined;
  readonly #hosts = new Map<HostRole, FakeHost>();
  readonly #removeTemp: () => Promise<void>;
  #closing: Promise<void> | undefined;

  /** Without a test around (beforeAll, a bench): the caller closes it. */
  static async start(options: FakeUpstreamOptions = {}): Promise<FakeUpstream> {
    const temp = options.tls === true ? await makeTempDir() : undefined;
    const upstream = new FakeUpstream(options, temp);
    await Promise.all(upstream.#all().map(host => host.listen()));
    return upstream;
  }

  private constructor(
    options: FakeUpstreamOptions,
    temp: { path: string; remove: () => Promise<void> } | undefined,
  ) {
    const { auth, redirect = false } = options;
    this.#removeTemp = temp?.remove ?? (() => Promise.resolve());
    this.#authority = temp && new CertificateAuthority(temp.path);
    this.tokens =
      auth?.kind === 'token' ? new TokenIssuer(auth, () => `${this.host(tokenRole).url}/token`) : undefined;
    this.quota = options.rateLimit && new PullQuota(options.rateLimit);
    const tokenRole = auth?.kind === 'token' && auth.server === 'other' ? 'token' : 'registry';
    const { status = 307, uses = 1 } = typeof redirect === 'object' ? redirect : {};
    const redirected = { urls: new SignedUrls(uses), status, origin: () => this.host('storage').url };
    const handler = new UpstreamHandler({
      content: this.content,
      faults: this.faults,
      log: this.log,
      quirks: options.quirks ?? {},
      authenticator: auth?.kind === 'basic' ? new BasicAuthenticator(auth) : this.tokens,
      tokens: this.tokens,
      quota: this.quota,
      redirect: redirect === false ? undefined : redirected,
    });
    const roles: HostRole[] = ['registry'];
    if (redirect !== false) roles.push('storage');
    if (tokenRole === 'token') roles.push('token');
    const certificate = this.#authority?.issue();
    for (const role of roles) {
      this.#hosts.set(
        role,
        new FakeHost((request, response, host) => handler.handle(request, response, host, role), certificate),
      );
    }
  }

  /** `http://127.0.0.1:PORT` of the registry. */
  get url(): string {
    return this.host('registry').url;
  }

  /** `127.0.0.1:PORT` of the registry. */
  get address(): string {
    return this.host('registry').address;
  }

  get port(): number {
    return this.host('registry').port;
  }

  /** PEM text of the authority; empty without TLS. */
  get caPem(): string {
    return this.#authority?.caPem ?? '';
  }

  /** Path of the authority's certificate, until `close()`; empty without TLS. */
  get caFile(): string {
    return this.#authority?.caFile ?? '';
  }

  /** One of its servers: `storage` with `redirect`, `token` with `auth.server: 'other'`. */
  host(role: HostRole): FakeHost {
    const host = this.#hosts.get(role);
    if (host === undefined) throw new Error(`this fake upstream has no host of its own for ${role}`);
    return host;
  }

  put(repository: string, image: BuiltImage, tag?: string): Digest {
    return this.content.put(repository, image, tag);
  }

  putBlob(repository: string, digest: string, content: BlobContent | Buffer | string): void {
    this.content.putBlob(repository, digest, content);
  }

  putManifest(repository: string, bytes: Buffer, mediaType: string, tag?: string): Digest {
    return this.content.putManifest(repository, bytes, mediaType, tag === undefined ? {} : { tag });
  }

  tag(repository: string, tag: string, digest: Digest): void {
    this.content.tag(repository, tag, digest);
  }

  untag(repository: string, tag: string): void {
    this.content.untag(repository, tag);
  }

  /** Puts another image and lets the tag point to it. */
  move(repository: string, tag: string, image: BuiltImage): Digest {
    return this.content.put(repository, image, tag);
  }

  fault(match: RequestMatch, fault: Fault, options?: FaultOptions): FaultRule {
    return this.faults.add(match, fault, options);
  }

  /** The next matching answer sends so many bytes of its body and then waits for `release()`. */
  holdAfter(match: RequestMatch, bytes: number, options?: FaultOptions): Gate {
    const gate = new Gate();
    this.fault(match, stall(bytes, gate), options);
    return gate;
  }

  /** The next matching request waits for its headers until `release()`. */
  holdHeaders(match: RequestMatch, options?: FaultOptions): Gate {
    const gate = new Gate();
    this.fault(match, { headersGate: gate }, options);
    return gate;
  }

  get requests(): readonly RequestEntry[] {
    return this.log.entries;
  }

  lines(options?: LineOptions): string[] {
    return this.log.lines(options);
  }

  /** Of all hosts together; see request-log.ts for what exactly is counted. */
  contentBytes(kind: RequestKind, digest?: Digest): number {
    return this.log.contentBytes(kind, digest);
  }

  /** All its hosts refuse connections; the open ones end unless they are kept. */
  async refuse(options?: { readonly keepConnections?: boolean }): Promise<void> {
    await Promise.all(this.#all().map(host => host.refuse(options)));
  }

  /** Back on the same ports. */
  async accept(): Promise<void> {
    await Promise.all(this.#all().map(host => host.accept()));
  }

  /** All its hosts accept connections, answer nothing and stop in the middle of bodies. */
  freeze(): void {
    for (const host of this.#all()) host.freeze();
  }

  thaw(): void {
    for (const host of this.#all()) host.thaw();
  }

  /** Idempotent. Rejects if the fake itself failed in between. */
  close(): Promise<void> {
    this.#closing ??= Promise.all(this.#all().map(host => host.close()))
      .finally(this.#removeTemp)
      .then(() => {});
    return this.#closing;
  }

  #all(): FakeHost[] {
    return [...this.#hosts.values()];
  }
}
