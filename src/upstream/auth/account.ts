/**
 * All that asks one registry under one account, or under none: authorization, the requests, the memory of what failed.
 * An upstream with credentials has two of them over the same connections, and what one is refused the other may get.
 */

import type { Timers } from '../../lib/timers.ts';
import type { Logger } from '../../telemetry/logger.ts';
import type { Observer } from '../../telemetry/observer.ts';
import { Blobs } from '../content/blobs.ts';
import { Manifests } from '../content/manifests.ts';
import type { HostHealth } from '../health/anonymous-health.ts';
import { Operations } from '../request/operations.ts';
import type { RecentFailures } from '../request/recent-failures.ts';
import { Requester } from '../request/requester.ts';
import type { Transport } from '../transport/transport.ts';
import { Authorizer, type AuthorizerOptions } from './authorizer.ts';

export interface AccountOptions extends AuthorizerOptions {
  readonly key: string;
  readonly transport: Transport;
  readonly health: HostHealth;
  readonly failures: RecentFailures;
  readonly observer: Observer;
  readonly logger: Logger;
  readonly timers: Timers;
  /** Of one operation until its answer, in ms. */
  readonly budgetMs: number;
  readonly maxTransfers: number;
  now(): number;
}

export class Account {
  readonly requester: Requester;
  readonly operations: Operations;
  readonly manifests: Manifests;
  readonly blobs: Blobs;

  constructor(options: AccountOptions) {
    this.requester = new Requester({ ...options, authorizer: new Authorizer(options) });
    const { requester } = this;
    this.operations = new Operations(options);
    this.manifests = new Manifests({ ...options, requester });
    this.blobs = new Blobs({ ...options, requester, operations: this.operations });
  }
}
