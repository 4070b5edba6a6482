/**
 * The keys of one fleet in Redis (docs/fleet.md). The name stands in braces, so that a Redis Cluster keeps all of them in
 * one slot and a script may touch several. Two fleets in one Redis never meet.
 */
import type { Digest } from '../../oci/digest.ts';

export class FleetKeys {
  readonly #prefix: string;

  /** `fleet`: its configured name, which holds no brace. */
  constructor(fleet: string) {
    this.#prefix = `cistern:{${fleet}}:`;
  }

  /** HASH node -> `SEEN SEALED-URL`. */
  get nodes(): string {
    return `${this.#prefix}nodes`;
  }

  /** STRING token of the node that downloads it; expires. */
  lease(digest: Digest): string {
    return `${this.#prefix}lease:${digest}`;
  }

  /** SET of nodes that said they hold it: hints. Expires. */
  holders(digest: Digest): string {
    return `${this.#prefix}holders:${digest}`;
  }

  /** `name`: canonical, `docker.io/library/alpine:3.20`. */
  tag(name: string): string {
    return `${this.#prefix}tag:${name}`;
  }

  /** `source`: what an upstream counts pulls under (`docker-ratelimit-source`). */
  budget(source: string): string {
    return `${this.#prefix}budget:${source}`;
  }
}
