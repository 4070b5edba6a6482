/**
 * The certificates that the mirror shows to clients: from files that may change, or its own. A new one is handed out as soon
 * as it is good; a bad one changes nothing, and the log says why.
 */
import { createSecureContext } from 'node:tls';
import { type CertificatePair, checkPair, expiryOf, type TlsConfig } from '../config/certificate.ts';
import type { Logger } from '../telemetry/logger.ts';
import { OwnCertificate, type OwnCertificateOptions } from './own-certificate.ts';
import { SettledFiles } from './settled-files.ts';

export interface CertificatesOptions extends OwnCertificateOptions {
  readonly config: TlsConfig;
  /** How long changed files must stay as they are. Milliseconds. */
  readonly quietMs?: number;
  /** How often files are looked at. Milliseconds. */
  readonly checkMs?: number;
}

export interface CurrentCertificates {
  readonly main: CertificatePair;
  readonly names: ReadonlyMap<string, CertificatePair>;
  readonly clientCa?: string | undefined;
}

const quiet = 500;
const checkEvery = 1000;
/** How often the mirror's own certificate is looked at: its age, and the addresses of the machine. */
const ownCheckMs = 600_000;

export class Certificates {
  readonly #options: CertificatesOptions;
  readonly #own: OwnCertificate | undefined;
  /** By the name in the metrics: `main`, or a host. */
  readonly #pairs: ReadonlyMap<string, SettledFiles>;
  readonly #clientCa: SettledFiles | undefined;
  readonly #closed = new AbortController();
  readonly #timer: NodeJS.Timeout;
  #checking: Promise<void> | undefined;
  #ownCheckedAt: number;
  #onChange: ((certificates: CurrentCertificates) => void) | undefined;

  private constructor(
    options: CertificatesOptions,
    own: OwnCertificate | undefined,
    pairs: ReadonlyMap<string, SettledFiles>,
    clientCa: SettledFiles | undefined,
  ) {
    this.#options = options;
    this.#own = own;
    this.#pairs = pairs;
    this.#clientCa = clientCa;
    this.#ownCheckedAt = options.now();
    this.#timer = setInterval(() => void this.check(), options.checkMs ?? checkEvery);
    this.#timer.unref();
  }

  /** Errors: files that can't be read or used; `StoreError` for those of the mirror's own authority. */
  static async open(options: CertificatesOptions): Promise<Certificates> {
    const { config } = options;
    const own = config.files === undefined ? await OwnCertificate.open(options) : undefined;
    const pairs = new Map<string, SettledFiles>();
    if (config.files !== undefined) pairs.set('main', await openPair('main', config.files, options));
    for (const { host, ...files } of config.names) pairs.set(host, await openPair(host, files, options));
    const clientCa =
      config.clients === undefined ? undefined : await openClientCa(config.clients.ca, options);
    return new Certificates(options, own, pairs, clientCa);
  }

  get current(): CurrentCertificates {
    const pairs = new Map(Array.from(this.#pairs, ([name, files]) => [name, pairOf(files)] as const));
    const main = this.#own?.pair ?? pairs.get('main');
    if (main === undefined) throw new Error('there is no certificate');
    pairs.delete('main');
    return { main, names: pairs, clientCa: this.#clientCa?.texts[0] };
  }

  /** PEM text of the mirror's own authority. Undefined: the certificates come from files. */
  get authority(): string | undefined {
    return this.#own?.authority.certificate;
  }

  /** Unix times in seconds, by name. */
  expiries(): ReadonlyMap<string, number> {
    const { main, names } = this.current;
    const texts = new Map([['main', main.certificate]]);
    for (const [host, { certificate }] of names) texts.set(host, certificate);
    if (this.authority !== undefined) texts.set('ca', this.authority);
    return new Map(Array.from(texts, ([name, text]) => [name, expiryOf(text) / 1000] as const));
  }

  /** Hears of every later change. */
  listen(onChange: (certificates: CurrentCertificates) => void): void {
    this.#onChange = onChange;
  }

  /** Looks at the files now. Never rejects. */
  check(): Promise<void> {
    this.#checking ??= this.#check().finally(() => {
      this.#checking = undefined;
    });
    return this.#checking;
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    this.#closed.abort();
    await this.#checking;
  }

  async #renewOwn(): Promise<boolean> {
    const now = this.#options.now();
    if (this.#own === undefined || Math.abs(now - this.#ownCheckedAt) < ownCheckMs) return false;
    this.#ownCheckedAt = now;
    return this.#own.renewIfDue();
  }

  async #check(): Promise<void> {
    const { signal } = this.#closed;
    const { logger } = this.#options;
    try {
      const files = [...this.#pairs.values(), ...(this.#clientCa === undefined ? [] : [this.#clientCa])];
      const changes = await Promise.all([...files.map(file => file.check(signal)), this.#renewOwn()]);
      if (!changes.includes(true)) return;
      this.#onChange?.(this.current);
      logger.info('new certificates, from the next connection on', {
        expires: Object.fromEntries(
          Array.from(this.expiries(), ([name, seconds]) => [name, new Date(seconds * 1000).toISOString()]),
        ),
      });
    } catch (error) {
      if (!signal.aborted) logger.error('cannot look for new certificates, the old ones stay', { error });
    }
  }
}

function openPair(
  name: string,
  { certificate, key }: { readonly certificate: string; readonly key: string },
  { logger, now, quietMs = quiet }: CertificatesOptions,
): Promise<SettledFiles> {
  return SettledFiles.open({
    paths: [certificate, key],
    judge: ([certificateText = '', keyText = '']) =>
      describeFlaw({ certificate: certificateText, key: keyText }, now()),
    ...reportTo(logger, name, certificate),
    quietMs,
  });
}

function openClientCa(path: string, { logger, quietMs = quiet }: CertificatesOptions): Promise<SettledFiles> {
  return SettledFiles.open({
    paths: [path],
    judge: ([text = '']) => {
      try {
        expiryOf(text);
        return undefined;
      } catch {
        return 'no whole certificate in PEM form';
      }
    },
    ...reportTo(logger, 'client_ca', path),
    quietMs,
  });
}

function reportTo(logger: Logger, name: string, file: string) {
  return {
    onRefused: (reason: string) =>
      logger.warn('cannot use the new certificate, the old one stays', { name, file, reason }),
    onUnreadable: (error: unknown) =>
      logger.warn('cannot read a certificate or its key, the old ones stay', { name, file, error }),
  };
}

/** Also what OpenSSL refuses, such as a key that is too short. */
function describeFlaw(pair: CertificatePair, now: number): string | undefined {
  const flaw = checkPair(pair, now);
  if (flaw !== undefined) return `${flaw.blames}: ${flaw.message}`;
  try {
    createSecureContext({ cert: pair.certificate, key: pair.key, minVersion: 'TLSv1.2' });
    return undefined;
  } catch (error) {
    return `OpenSSL refuses it: ${error instanceof Error ? error.message : String(error)}`;
  }
}

function pairOf({ texts: [certificate = '', key = ''] }: SettledFiles): CertificatePair {
  return { certificate, key };
}
