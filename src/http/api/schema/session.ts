/** `/api/v1/session`: who is logged in, and what they may do. */
import { z } from 'zod';
import { list, time } from './values.ts';

export const loginRequest = z.strictObject({
  name: z.string().min(1).max(1024),
  password: z.string().min(1).max(1024),
});

export const actionName = z.enum([
  'warm',
  'pin',
  'unpin',
  'evict',
  'delete',
  'restore',
  'promote',
  'gc',
  'scrub',
]);

export const sessionAnswer = z.object({
  user: z.string().nullable().describe('null: anonymous'),
  /** False: there are no users, or none can log in at this address. Everything is read-only then. */
  canLogIn: z.boolean(),
  /** Of the session cookie; null: there is none. */
  expiresAt: time.nullable(),
  /** Over how many of the repositories the caller has the `admin` action. */
  administers: z.enum(['all', 'some', 'none']),
  /** What works here at all, whatever the rights: without `hosted.repositories` there is nothing to collect. */
  actions: list(actionName),
});

export type LoginRequest = z.infer<typeof loginRequest>;
export type ActionName = z.infer<typeof actionName>;
export type SessionAnswer = z.infer<typeof sessionAnswer>;
