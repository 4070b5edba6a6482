/** Who is logged in at this page, and what that allows. The session itself is a cookie that scripts can't read. */
import { signal } from '@preact/signals';
import type { ActionName, SessionAnswer } from '../../http/api/schema/session.ts';
import { announce } from './announcer.ts';
import { ApiError, read, send } from './api.ts';

/** Undefined: not known yet, or the mirror did not answer. */
export const session = signal<SessionAnswer | undefined>(undefined);

/** Changes when another user looks at the page: what was read for the one before is read anew. */
export const sessionChanges = signal(0);

/** It was asked for, with an answer or without. */
export const isSessionKnown = signal(false);

const path = 'session';

/** Works without an answer: then the page shows what all may see, and the server says no to the rest. */
export async function startSession(): Promise<void> {
  try {
    session.value = await read<SessionAnswer>(path, {}, new AbortController().signal);
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    session.value = undefined;
  }
  isSessionKnown.value = true;
}

/** Figures are for users alone where there are any: a visitor's page doesn't ask for them. */
export function needsLogin(): boolean {
  const { value } = session;
  return value !== undefined && value.user === null && value.canLogIn;
}

/** A session that has ended meanwhile is noticed by what it is refused: the page is then that of a visitor. */
export function noteRefusal({ status }: ApiError): void {
  if (status === 401 && session.value?.user != null) void startSession();
}

/** Errors: `ApiError` (a wrong name or password). */
export async function logIn(name: string, password: string): Promise<void> {
  session.value = await send<SessionAnswer>('POST', path, { name, password });
  sessionChanges.value += 1;
  announce(`Logged in as ${name}`);
}

/** Errors: `ApiError`. */
export async function logOut(): Promise<void> {
  await send('DELETE', path, undefined);
  await startSession();
  sessionChanges.value += 1;
  announce('Logged out');
}

/** Whether this works here at all for the caller; over which images is said with each image. */
export function isOffered(action: ActionName): boolean {
  const { value } = session;
  return value !== undefined && value.administers !== 'none' && value.actions.includes(action);
}

/** For what is about the whole mirror. */
export function isOfferedForAll(action: ActionName): boolean {
  return isOffered(action) && session.value?.administers === 'all';
}
