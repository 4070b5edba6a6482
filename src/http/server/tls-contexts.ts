/**
 * The certificates of all TLS listeners: one for clients in general, and further ones by the host that a client asks for
 * (SNI). Replaced as a whole: connections that are open stay, and the next handshake sees the new ones.
 */
import { createSecureContext, type SecureContext, type SecureContextOptions, type Server } from 'node:tls';

/** PEM texts. */
export interface CertificateAndKey {
  readonly certificate: string;
  readonly key: string;
}

export interface TlsMaterial {
  /** For clients that ask for no host, or for one that isn't in `names`. */
  readonly main: CertificateAndKey;
  /** By host in lower case; `*.lan` stands for every host of one label before `.lan`. */
  readonly names: ReadonlyMap<string, CertificateAndKey>;
  /** PEM text of the authority that signs the certificates of clients. */
  readonly clientCa?: string | undefined;
}

export class TlsContexts {
  readonly #servers = new Set<Server>();
  #main: SecureContextOptions;
  #names: ReadonlyMap<string, SecureContext>;

  /** Errors: those of OpenSSL. */
  constructor(material: TlsMaterial) {
    this.#main = optionsOf(material.main, material.clientCa);
    createSecureContext(this.#main);
    this.#names = buildNames(material);
  }

  /** For `createServer`, of a server that is then given to `keep`. */
  get main(): SecureContextOptions {
    return this.#main;
  }

  /** The server gets every later certificate. */
  keep(server: Server): void {
    this.#servers.add(server);
    server.once('close', () => this.#servers.delete(server));
  }

  /** Errors: those of OpenSSL; then nothing has changed. */
  replace(material: TlsMaterial): void {
    const main = optionsOf(material.main, material.clientCa);
    createSecureContext(main);
    this.#names = buildNames(material);
    this.#main = main;
    for (const server of this.#servers) server.setSecureContext(main);
  }

  /** Undefined: the main one. */
  find(host: string): SecureContext | undefined {
    const name = host.toLowerCase();
    return this.#names.get(name) ?? this.#names.get(name.replace(/^[^.]+/, '*'));
  }
}

function buildNames({ names, clientCa }: TlsMaterial): ReadonlyMap<string, SecureContext> {
  return new Map(
    Array.from(names, ([host, pair]) => [host, createSecureContext(optionsOf(pair, clientCa))] as const),
  );
}

function optionsOf({ certificate, key }: CertificateAndKey, clientCa?: string): SecureContextOptions {
  return {
    cert: certificate,
    key,
    minVersion: 'TLSv1.2',
    ...(clientCa !== undefined && { ca: clientCa }),
  };
}
