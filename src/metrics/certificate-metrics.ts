/** When the certificates that clients see expire (docs/metrics.md). Only a mirror with TLS has this metric. */
import { Gauge, type Registry } from 'prom-client';

export interface CertificateExpiries {
  /** Unix times in seconds, by name: `main`, the hosts of `http.tls.names`, and `ca` for an authority of the mirror's own. */
  expiries(): ReadonlyMap<string, number>;
}

export class CertificateMetrics {
  readonly #expires: Gauge;

  /** Each scrape asks `certificates` anew: they may have been replaced meanwhile. */
  constructor(registry: Registry, certificates: CertificateExpiries) {
    this.#expires = new Gauge({
      name: 'cistern_tls_certificate_expires_seconds',
      help: 'Unix time at which the certificate expires.',
      labelNames: ['name'],
      registers: [registry],
      collect: () => this.#sample(certificates.expiries()),
    });
  }

  #sample(expiries: ReadonlyMap<string, number>): void {
    this.#expires.reset();
    for (const [name, seconds] of expiries) this.#expires.set({ name }, seconds);
  }
}
