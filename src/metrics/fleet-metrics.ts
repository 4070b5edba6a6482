/** The metrics of a fleet (docs/metrics.md), in the mirror's registry. Only a mirror with a fleet has them. */
import { Counter, Gauge, type Registry } from 'prom-client';
import type { FleetObserver, PeerResult } from '../telemetry/observer.ts';

/** The state at the moment of a scrape. */
export interface FleetSample {
  /** Redis answers. */
  readonly isUp: boolean;
  readonly nodes: number;
  readonly leases: number;
}

export class FleetMetrics implements FleetObserver {
  readonly #requests: Counter;
  readonly #bytes: Counter;
  readonly #served: Counter;
  readonly #refused: Counter;
  readonly #wrong: Counter;
  readonly #lost: Counter;
  #sample: () => FleetSample = () => ({ isUp: false, nodes: 0, leases: 0 });

  constructor(registry: Registry) {
    const registers = [registry];
    const counter = (name: string, help: string, labelNames: string[] = []) =>
      new Counter({ name, help, labelNames, registers });
    const readSample = (): FleetSample => this.#sample();
    const gauge = (name: string, help: string, read: (sample: FleetSample) => number) =>
      new Gauge({
        name,
        help,
        registers,
        collect() {
          this.set(read(readSample()));
        },
      });
    this.#requests = counter('cistern_fleet_requests_total', 'Requests to other nodes.', ['kind', 'result']);
    this.#bytes = counter('cistern_fleet_bytes_total', 'Bytes of blobs received from other nodes.', [
      'upstream',
    ]);
    this.#served = counter('cistern_fleet_served_bytes_total', 'Body bytes sent to other nodes.');
    this.#refused = counter('cistern_fleet_refused_total', 'Requests without a valid signature.');
    this.#wrong = counter(
      'cistern_fleet_wrong_total',
      'Content from other nodes that did not match its digest.',
    );
    this.#lost = counter('cistern_fleet_leases_lost_total', 'Leases that another node took over.');
    gauge('cistern_fleet_up', '1: Redis answers the fleet.', ({ isUp }) => (isUp ? 1 : 0));
    gauge('cistern_fleet_nodes', 'Live nodes, including this one.', ({ nodes }) => nodes);
    gauge('cistern_fleet_leases', 'Blobs that this node downloads for the fleet.', ({ leases }) => leases);
  }

  /** Each scrape calls `sample` from now on. The composition sets it when the fleet is there. */
  sampleFleet(sample: () => FleetSample): void {
    this.#sample = sample;
  }

  peerAnswered(kind: 'blob' | 'manifest', result: PeerResult): void {
    this.#requests.inc({ kind, result });
  }

  peerBytes(upstream: string, bytes: number): void {
    this.#bytes.inc({ upstream }, bytes);
  }

  peerServed(bytes: number): void {
    this.#served.inc(bytes);
  }

  unsignedRefused(): void {
    this.#refused.inc();
  }

  peerWrong(): void {
    this.#wrong.inc();
  }

  leaseLost(): void {
    this.#lost.inc();
  }
}
