/**
 * Values that many shapes of `/api/v1` have in common. Requests are checked with these schemas, answers are typed by them, and OpenAPI is
 * generated from them. Times are ISO 8601 in UTC, sizes are bytes; null: not known, or not for this caller.
 */
import { z } from 'zod';

export const time = z.string().describe('ISO 8601, UTC');
export const bytes = z.number().int().nonnegative().describe('bytes');
export const count = z.number().int().nonnegative();
export const digest = z.string().describe('sha256:… or sha512:…');

/** `readonly` as what the answers are made of. */
export function list<Item extends z.ZodType>(item: Item) {
  return z.array(item).readonly();
}

export const errorAnswer = z.object({
  errors: list(
    z.object({ code: z.string(), message: z.string(), detail: z.record(z.string(), z.unknown()).optional() }),
  ),
});

const maxText = 512;
export const maxPage = 200;
export const defaultPage = 50;

export const searchText = z.string().max(maxText).describe('part of a repository name, in any case');
/** As clients write it, or canonical: `alpine`, `docker.io/library/alpine:3.20`, `team/app@sha256:…`. */
export const imageText = z.string().min(1).max(maxText);

/** The answer has a `Link` to the next page where there is one. */
export const pageQuery = z.object({
  n: z.coerce.number().int().min(1).max(maxPage).default(defaultPage),
  last: z.string().max(maxText).optional().describe('the last entry of the page before'),
});

export type ErrorAnswer = z.infer<typeof errorAnswer>;
export type PageQuery = z.infer<typeof pageQuery>;
