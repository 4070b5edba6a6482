/** The metrics of a fleet (docs/metrics.md), in the mirror's own registry; made only where there is a fleet. */
import { Counter, Gauge, type Registry } from 'prom-client';
import type { FleetObserver, PeerResult } from '../telemetry/fleet-observer.ts';

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
  readonly #unsigned: Counter;
  readonly #wrong: Counter;
  readonly #lost: Counter;

  constructor(registry: Registry, sample: () => FleetSample) {
    const registers = [registry];
    const counter = (name: string, help: string, labelNames: string[] = []) =>
      new Counter({ name, help, labelNames, registers });
    const gauge = (name: string, help: string, read: (sample: FleetSample) => number) =>
      new Gauge({
        name,
        help,
        registers,
        collect() {
          this.set(read(sample()));
        },
      });
    this.#requests = counter('cistern_fleet_requests_total', 'Questions to other nodes.', ['kind', 'result']);
    this.#bytes = counter('cistern_fleet_bytes_total', 'Bytes of blobs received from other nodes.', [
      'upstream',
    ]);
    this.#served = counter('cistern_fleet_served_bytes_total', 'Body bytes given to other nodes.');
    this.#unsigned = counter('cistern_fleet_refused_total', 'Questions of nodes without a valid signature.');
    this.#wrong = counter(
      'cistern_fleet_wrong_total',
      'Content of other nodes that was not what it should be.',
    );
    this.#lost = counter('cistern_fleet_leases_lost_total', 'Leases that another node took meanwhile.');
    gauge('cistern_fleet_up', '1: the fleet can be met in Redis.', ({ isUp }) => (isUp ? 1 : 0));
    gauge('cistern_fleet_nodes', 'Nodes seen lately, this one among them.', ({ nodes }) => nodes);
    gauge('cistern_fleet_leases', 'Blobs that this node downloads for the fleet.', ({ leases }) => leases);
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
    this.#unsigned.inc();
  }

  peerWrong(): void {
    this.#wrong.inc();
  }

  leaseLost(): void {
    this.#lost.inc();
  }
}
