/**
 * Those who are told of what happens: the targets of `notifications` and the audit log. A mirror without them loads nothing
 * for it. Both can change with a reload; the audit file is reopened then, so that log rotation works.
 */
import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { formatListenAddress } from '../config/address.ts';
import type { Config, NotificationConfig } from '../config/config.ts';
import { systemTimers } from '../lib/wait.ts';
import type { NotificationTarget } from '../notify/target.ts';
import { allowRepositories } from '../oci/name.ts';
import type { StoreLayout } from '../store/layout.ts';
import type { LineFile } from '../store/line-file.ts';
import type { AuditedAct, RegistryEvent, RegistryEventListener } from '../telemetry/registry-events.ts';
import type { AppContext } from './app-context.ts';

/** What waits for a target, at most. */
const spoolLimits = { entries: 10_000, bytes: 64 * 1024 * 1024, ageMs: 24 * 60 * 60_000 };
const deadlineMs = 10_000;

export interface NotificationParts {
  readonly layout: Pick<StoreLayout, 'spoolFolder'>;
  /** Writes a line to standard output, in order with the log. */
  readonly print: (line: string) => void;
}

interface RunningTarget {
  readonly config: NotificationConfig;
  readonly target: NotificationTarget;
}

interface AuditSink {
  /** `stdout`, or absolute. */
  readonly path: string;
  readonly file?: LineFile;
  write(line: string): void;
}

/** Tells each target and the audit log of each event. */
export class Notifications implements RegistryEventListener {
  /** A field: the hot path asks for it at each manifest. */
  wantsPulls = false;
  readonly #parts: NotificationParts;
  readonly #context: AppContext;
  readonly #instanceId = randomUUID();
  #targets: ReadonlyMap<string, RunningTarget> = new Map();
  #audit: AuditSink | undefined;
  #toAuditLine: typeof import('../notify/audit-log.ts').toAuditLine | undefined;
  /** One reload after the other. */
  #applying: Promise<void> = Promise.resolve();

  constructor(parts: NotificationParts, context: AppContext) {
    this.#parts = parts;
    this.#context = context;
  }

  happened(event: RegistryEvent | AuditedAct): void {
    if (this.#audit !== undefined) {
      const line = this.#toAuditLine?.(event, this.#context.now());
      if (line !== undefined) this.#audit.write(`${JSON.stringify(line)}\n`);
    }
    if (event.type === 'login-failed' || event.type === 'denied' || event.type === 'administered') return;
    for (const { target } of this.#targets.values()) target.happened(event);
  }

  /** Undefined: there is no such target. */
  replay(name: string): Promise<number> | undefined {
    return this.#targets.get(name)?.target.replay();
  }

  /** The targets and the audit log of the configuration. An audit file is reopened. */
  apply({ notifications, log, http }: Pick<Config, 'notifications' | 'log' | 'http'>): Promise<void> {
    this.#applying = this.#applying.then(async () => {
      await this.#applyAudit(log.audit);
      await this.#applyTargets(notifications, http);
    });
    return this.#applying;
  }

  async close(): Promise<void> {
    await this.#applying;
    await Promise.all(Array.from(this.#targets.values(), ({ target }) => target.close()));
    await this.#audit?.file?.close();
  }

  async #applyTargets(list: readonly NotificationConfig[], http: Config['http']): Promise<void> {
    if (list.length === 0 && this.#targets.size === 0) return;
    const open = await this.#opener(http);
    const before = this.#targets;
    const closing: Promise<void>[] = [];
    const after = new Map<string, RunningTarget>();
    // In one turn, so that no event falls between an old target and its successor.
    for (const config of list) {
      const running = before.get(config.name);
      if (running !== undefined && isSame(config, running.config)) {
        after.set(config.name, running);
        continue;
      }
      const closed = running?.target.close() ?? Promise.resolve();
      closing.push(closed);
      after.set(config.name, { config, target: open(config, closed) });
    }
    for (const [name, { target }] of before) if (!after.has(name)) closing.push(target.close());
    this.#targets = after;
    this.wantsPulls = Array.from(after.values()).some(({ target }) => target.wantsPulls);
    await Promise.all(closing);
  }

  async #opener(
    http: Config['http'],
  ): Promise<(config: NotificationConfig, spoolIsFree: Promise<void>) => NotificationTarget> {
    const [{ NotificationTarget: Target }, { Webhook }, { readVersion }] = await Promise.all([
      import('../notify/target.ts'),
      import('../notify/webhook.ts'),
      import('../version.ts'),
    ]);
    const { metrics, logger, now } = this.#context;
    const userAgent = `cistern/${await readVersion()}`;
    const [address] = http.listen;
    const source = {
      addr: address === undefined ? hostname() : formatListenAddress({ ...address, host: hostname() }),
      instanceID: this.#instanceId,
    };
    const envelope = { source, publicUrl: http.publicUrl, now, newId: randomUUID };
    return ({ name, url, secret, events, repositories }, spoolIsFree) => {
      for (const result of ['delivered', 'failed', 'dropped'] as const) metrics.notified(name, result, 0);
      return new Target({
        name,
        events,
        matches: allowRepositories(repositories, []),
        spoolIsFree,
        folder: join(this.#parts.layout.spoolFolder, name),
        limits: spoolLimits,
        webhook: new Webhook({ url, secret, userAgent, deadlineMs, timers: systemTimers }),
        envelope,
        observer: metrics,
        logger,
        onResult: (result, count) => metrics.notified(name, result, count),
        timers: systemTimers,
        now,
        random: Math.random,
      });
    };
  }

  async #applyAudit(path: string | undefined): Promise<void> {
    if (path !== undefined && path === this.#audit?.path) {
      this.#audit.file?.reopen();
      return;
    }
    const old = this.#audit;
    this.#audit = path === undefined ? undefined : await this.#openAudit(path);
    await old?.file?.close();
  }

  async #openAudit(path: string): Promise<AuditSink> {
    const { print } = this.#parts;
    this.#toAuditLine = (await import('../notify/audit-log.ts')).toAuditLine;
    if (path === 'stdout') return { path, write: print };
    const { LineFile: File } = await import('../store/line-file.ts');
    const { metrics, logger } = this.#context;
    const onTrouble = (error: unknown, dropped: number) => {
      if (dropped > 0) logger.error('lines of the audit log were dropped', { file: path, lines: dropped });
      else logger.error('cannot write the audit log, its lines wait', { file: path, error });
    };
    const file = new File({ path, observer: metrics, onTrouble });
    return { path, file, write: line => file.write(line) };
  }
}

/** Never waits for a target. */
export async function startNotifications(
  parts: NotificationParts,
  context: AppContext,
): Promise<Notifications> {
  const notifications = new Notifications(parts, context);
  await notifications.apply(context.config);
  return notifications;
}

function isSame(one: NotificationConfig, other: NotificationConfig): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}
