/**
 * Who uses the descriptor of one ingest: its opener and each follower have a share, and the last one to leave closes it.
 * Counts the followers, and those of them that have been given bytes already.
 */
import type { FollowerEvents } from './follower.ts';

export interface IngestUsersOptions {
  /** Called with the number of followers each time it changes. */
  onFollowers(count: number): void;
  /** Everybody has left. */
  onLast(): Promise<void>;
}

export class IngestUsers {
  readonly #options: IngestUsersOptions;
  #users = 1;
  #followers = 0;
  #touched = 0;

  constructor(options: IngestUsersOptions) {
    this.#options = options;
  }

  get isAny(): boolean {
    return this.#users > 0;
  }

  get followers(): number {
    return this.#followers;
  }

  /** A follower waits that has not been given a byte yet. */
  get hasUntouchedFollower(): boolean {
    return this.#followers > this.#touched;
  }

  /** One more follower; it reports through what it gets. */
  join(): FollowerEvents {
    this.#users += 1;
    this.#followers += 1;
    this.#options.onFollowers(this.#followers);
    return {
      touched: () => {
        this.#touched += 1;
      },
      left: touched => {
        this.#followers -= 1;
        if (touched) this.#touched -= 1;
        this.#options.onFollowers(this.#followers);
        return this.release();
      },
    };
  }

  /** Gives one share back. */
  async release(): Promise<void> {
    this.#users -= 1;
    if (this.#users === 0) await this.#options.onLast();
  }
}
