/**
 * Actors that run one step at a time in an order that the test gives: each waits at gates that the parts under test pass, and goes on when
 * its letter comes. Who passes a gate is known by the asynchronous context, so shared parts need no wiring.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import { setImmediate as turn } from 'node:timers/promises';

const maxIdleTurns = 5000;

export class Stage {
  readonly #current = new AsyncLocalStorage<string>();
  readonly #waiting = new Map<string, (() => void)[]>();
  /** How many gates each actor has passed. */
  readonly passed = new Map<string, number>();
  readonly #idle: () => void;

  /** `idle`: no actor waits at a gate; a test with timers of its own lets them end. */
  constructor(idle: () => void = () => {}) {
    this.#idle = idle;
  }

  /** Called by what is under test. Outside of `run` it delays no call. */
  async gate(): Promise<void> {
    const actor = this.#current.getStore();
    if (actor === undefined) return;
    await new Promise<void>(resolve => {
      this.#waiting.set(actor, [...(this.#waiting.get(actor) ?? []), resolve]);
    });
  }

  /** One letter of `order` is one step of that actor; what is left runs in turns. Rejects with the first error of an actor. */
  async run(actors: Readonly<Record<string, () => Promise<void>>>, order: string): Promise<void> {
    const done = new Set<string>();
    const errors: unknown[] = [];
    for (const [name, act] of Object.entries(actors))
      void this.#current
        .run(name, act)
        .catch((error: unknown) => errors.push(error))
        .finally(() => done.add(name));
    const names = Object.keys(actors);
    for (const letter of order) {
      await turn();
      this.#release(letter);
    }
    let idleTurns = 0;
    while (done.size < names.length) {
      await turn();
      if (names.filter(name => this.#release(name)).length > 0) idleTurns = 0;
      else if (done.size < names.length) {
        this.#idle();
        idleTurns += 1;
        if (idleTurns > maxIdleTurns)
          throw new Error(`${names.filter(name => !done.has(name)).join()} wait for ever`);
      }
    }
    this.#current.disable(); // Node asks each storage at each new resource, as long as it is not disabled
    if (errors.length > 0) throw errors[0];
  }

  /** False: it waits at no gate. */
  #release(actor: string): boolean {
    const [first, ...others] = this.#waiting.get(actor) ?? [];
    if (first === undefined) return false;
    this.#waiting.set(actor, others);
    this.passed.set(actor, (this.passed.get(actor) ?? 0) + 1);
    first();
    return true;
  }
}
