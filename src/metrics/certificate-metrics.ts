/** When the certificates that clients see expire (docs/metrics.md). Only a mirror with TLS has this metric. */
import { Gauge, type Registry } from 'prom-client';

export interface CertificateExpiries {
  /** Unix times in seconds, by name: `main`, the hosts of `http.tls.names`, and `ca` for an authority of the mirror's own. */
  expiries(): ReadonlyMap<string, number>;
}

/**
 * Each scrape asks anew: a certificate may have been replaced meanwhile. `registry`: the mirror's own. To be called once for
 * each registry.
 */
export function registerCertificates(registry: Registry, certificates: CertificateExpiries): void {
  new Gauge({
    name: 'cistern_tls_certificate_expires_seconds',
    help: 'Unix time at which the certificate expires.',
    labelNames: ['name'],
    registers: [registry],
    collect() {
      this.reset();
      for (const [name, seconds] of certificates.expiries()) this.set({ name }, seconds);
    },
  });
}
