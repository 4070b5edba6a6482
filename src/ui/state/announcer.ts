/** What screen readers are told of changes that the eye sees by itself: short sentences, one after the other. */
import { signal } from '@preact/signals';

/** The text of the live region. */
export const announcement = signal('');

/** A sentence that stays on the page until it is closed or the next one comes. */
export interface Message {
  readonly tone: 'good' | 'bad';
  readonly text: string;
}

export const message = signal<Message | undefined>(undefined);

/** The same sentence twice is said twice: a blank at its end makes it another text. */
export function announce(text: string): void {
  announcement.value = announcement.value === text ? `${text} ` : text;
}

/** For all to see, and said: the outcome of an action. */
export function tell(told: Message): void {
  message.value = told;
  announce(told.text);
}

export function closeMessage(): void {
  message.value = undefined;
}
