/** The `warm` list: its keys, the rules within an entry, and the schedule made of it. Times of day are local ones. */
import { z } from 'zod';
import { type DayTime, type DayWindow, isWithin } from '../../lib/day-time.ts';
import { isRawName } from '../../oci/name.ts';
import { parsePlatformText } from '../../oci/platform.ts';
import { refusal } from '../problem.ts';
import { duration, parsed } from '../schema-values.ts';

/** Images that are fetched ahead. `everyMs` or `at` is there. */
export interface WarmConfig {
  /** As on the command line. At least one. */
  readonly images: readonly string[];
  /** `os/architecture[/variant]`, or `all`; none: that of this machine. */
  readonly platforms: readonly string[];
  readonly everyMs?: number;
  readonly at?: DayTime;
  /** Nothing is fetched outside of it. */
  readonly window?: DayWindow;
}

const minute = 60_000;
const minutesPerDay = 24 * 60;

export const warmSchema = z
  .strictObject({
    images: z.array(parsed(parseImageText)).min(1),
    platforms: z.array(parsed(parsePlatformWord)).prefault([]),
    every: duration({ shortest: minute, longest: 365 * minutesPerDay * minute }).optional(),
    at: parsed(parseTime).optional(),
    window: parsed(parseWindow).optional(),
  })
  .superRefine(({ every, at, window }, context) => {
    const issue = (message: string) => context.addIssue({ code: 'custom', message });
    if (every === undefined && at === undefined) issue('needs every or at');
    if (every !== undefined && at !== undefined) issue('takes every or at, not both');
    if (at !== undefined && window !== undefined && !isWithin(at, window))
      issue('the time of at is not within window, so it would never start on time');
  });

export function assembleWarm(list: readonly z.output<typeof warmSchema>[]): readonly WarmConfig[] {
  return list.map(({ images, platforms, every, at, window }) => ({
    images,
    platforms,
    ...(every !== undefined && { everyMs: every }),
    ...(at !== undefined && { at }),
    ...(window !== undefined && { window }),
  }));
}

/** As on the command line; which upstream it means is known later. */
function parseImageText(value: unknown): string {
  const expected = 'an image such as alpine:3.20 or ghcr.io/owner/app@sha256:DIGEST';
  if (typeof value !== 'string') throw refusal(expected, value);
  const [name = '', digest, ...rest] = value.split('@');
  const colon = name.indexOf(':', name.lastIndexOf('/') + 1);
  const [plain, tag] = colon === -1 ? [name, 'latest'] : [name.slice(0, colon), name.slice(colon + 1)];
  const hasDigest = digest === undefined || /^[a-z0-9]+:[a-f0-9]{32,}$/.test(digest);
  if (rest.length > 0 || !hasDigest || !isRawName(plain) || !/^\w[\w.-]{0,127}$/.test(tag))
    throw refusal(expected, value);
  return value;
}

function parsePlatformWord(value: unknown): string {
  if (typeof value === 'string' && (value === 'all' || parsePlatformText(value) !== undefined)) return value;
  throw refusal('a platform such as linux/arm64, or all', value);
}

/** YAML 1.2 reads `03:00` as text. */
function parseTime(value: unknown): DayTime {
  const time = typeof value === 'string' ? parseMinutes(value) : undefined;
  if (time !== undefined) return time;
  throw refusal('a local time such as "03:00"', value);
}

function parseWindow(value: unknown): DayWindow {
  const [from, to, ...rest] =
    typeof value === 'string' ? value.split('-').map(part => parseMinutes(part.trim())) : [];
  if (from !== undefined && to !== undefined && rest.length === 0 && from !== to) return { from, to };
  throw refusal('two local times such as "22:00-06:00"', value);
}

function parseMinutes(text: string): DayTime | undefined {
  const [, hours, minutes] = /^(\d{1,2}):(\d\d)$/.exec(text) ?? [];
  const time = Number(hours) * 60 + Number(minutes);
  return hours === undefined || Number(minutes) > 59 || time >= minutesPerDay ? undefined : time;
}
