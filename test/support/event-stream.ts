/** A client of `/api/v1/events`: the events of a stream as they come. */

import { type SampleEvent, sampleEvent } from '../../src/http/api/schema/transfers.ts';
import { type Call, request } from './client.ts';

export interface StreamedEvent {
  readonly event: string;
  readonly data: unknown;
}

export function openEvents(url: string, headers: Readonly<Record<string, string>>): Call {
  return request(url, { path: '/api/v1/events', headers });
}

/** All that have come so far. */
export function eventsOf(text: string): readonly StreamedEvent[] {
  return text.split('\n\n').flatMap(block => {
    const [, event] = /^event: (.+)$/m.exec(block) ?? [];
    const [, data] = /^data: (.+)$/m.exec(block) ?? [];
    return event === undefined || data === undefined ? [] : [{ event, data: JSON.parse(data) }];
  });
}

/** The first sample of a stream. Rejects when it ends before. */
export async function nextSample(call: Call): Promise<SampleEvent> {
  for (let wanted = 1; ; wanted = call.bytes + 1) {
    await call.atLeast(wanted);
    const sample = eventsOf(call.text).find(({ event }) => event === 'sample');
    if (sample !== undefined) return sampleEvent.parse(sample.data);
  }
}
