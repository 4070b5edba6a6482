/** The `notifications` list: its keys, the rules between its entries, and the configuration made of them. */
import { z } from 'zod';
import { parseNamePattern } from '../address.ts';
import type { NotificationConfig } from '../config.ts';
import type { Findings } from '../findings.ts';
import { formatPath, refusal, ValueError, valueAt } from '../problem.ts';
import { parsed, text, word } from '../schema-values.ts';

export const notificationSchema = z.strictObject({
  name: parsed(parseName).optional(),
  url: parsed(parseWebhookUrl),
  secret_file: text.optional(),
  events: z
    .array(word('push', 'pull', 'delete'))
    .min(1)
    .prefault(['push', 'pull', 'delete']),
  repositories: z.array(parsed(parseNamePattern)).prefault([]),
});

/** It becomes a folder of the store and a metric label. */
const namePattern = /^[a-z0-9][a-z0-9._:-]{0,63}$/;

/** Two entries of one name would share a spool. Reads the raw tree, so that a bad value elsewhere hides nothing. */
export function checkNotifications(tree: unknown, findings: Findings): void {
  const list = valueAt(tree, ['notifications']);
  const names = new Map<string, number>();
  for (const [index, entry] of (Array.isArray(list) ? list : []).entries()) {
    const path = ['notifications', index];
    const given = valueAt(entry, ['name']);
    const name = typeof given === 'string' ? given : nameOfUrl(valueAt(entry, ['url']));
    if (name === undefined) continue; // the schema reports it
    const earlier = names.get(name);
    if (earlier === undefined) names.set(name, index);
    else if (given === undefined)
      findings.report(path, `the same host as entry ${earlier + 1}: give it a name`, 'key');
    else findings.report([...path, 'name'], `entry ${earlier + 1} has the name ${name} already`);
  }
}

/** `files`: text of the files that keys name, by the formatted path of the key. */
export function assembleNotifications(
  list: readonly z.output<typeof notificationSchema>[],
  files: ReadonlyMap<string, string>,
): readonly NotificationConfig[] {
  return list.map(({ name, url, events, repositories }, index) => {
    const secret = files.get(formatPath(['notifications', index, 'secret_file']));
    return {
      name: name ?? nameOf(url),
      url,
      ...(secret !== undefined && { secret }),
      events,
      repositories,
    };
  });
}

function parseName(value: unknown): string {
  if (typeof value === 'string' && namePattern.test(value) && !value.includes('..')) return value;
  throw refusal("a name of lower-case letters, digits, '.', '_', ':' and '-', at most 64 of them", value);
}

function parseWebhookUrl(value: unknown): URL {
  const expected = 'a URL such as https://ci.lan/hooks/registry';
  if (typeof value !== 'string' || !/^https?:\/\//i.test(value) || !URL.canParse(value))
    throw refusal(expected, value);
  const url = new URL(value);
  if (url.username !== '' || url.password !== '')
    throw new ValueError(
      `expected ${expected} without user and password: bodies are signed with the secret in secret_file`,
    );
  url.hash = '';
  return url;
}

/** The host with its port. */
function nameOf({ host }: URL): string {
  const name = host.replace(/[^a-z0-9._:-]+/g, '').replace(/^[^a-z0-9]+/, '');
  return name === '' ? 'webhook' : name.slice(0, 64);
}

function nameOfUrl(url: unknown): string | undefined {
  return typeof url === 'string' && URL.canParse(url) ? nameOf(new URL(url)) : undefined;
}
