/** One transfer over cuts, stalls and refusals: the bytes that come out, and exactly how the sources were opened. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { resumeTransfer, SourceList } from '../../../../src/cached/download/resume.ts';
import { TransferYielded } from '../../../../src/registry/registry.ts';
import { patternBlob } from '../../../support/content.ts';
import { deferred } from '../../../support/gates.ts';
import { Recorder } from '../../../support/recorder.ts';
import { type Act, fails, failure, gives, HandClock, hangs, isPending, ScriptedSource } from '../rig.ts';

const content = patternBlob('resumed', 10_000);
const other = patternBlob('other', 12_000);

interface Setting {
  readonly from?: number;
  readonly end?: number;
  readonly expectedSize?: number | undefined;
  readonly stallMs?: number;
  readonly minRate?: number;
  readonly signal?: AbortSignal;
  readonly background?: boolean;
  readonly clock?: HandClock;
}

interface Transfer {
  /** As the consumer saw them. */
  readonly bytes: () => Buffer;
  readonly opens: string[];
  readonly clock: HandClock;
  readonly recorder: Recorder;
  /** `a 10000`: what `onOpened` was told. */
  readonly opened: string[];
  /** Reads to the end; the error that ended it. */
  run(): Promise<unknown>;
  readonly chunks: ReturnType<typeof resumeTransfer>;
}

/** Source `a` follows the first script, `b` the second and so on. */
function transfer(scripts: readonly (readonly Act[])[], setting: Setting = {}): Transfer {
  const opens: string[] = [];
  const opened: string[] = [];
  const recorder = new Recorder();
  const { clock = new HandClock() } = setting;
  const sources = scripts.map(
    (script, index) => new ScriptedSource('abc'.charAt(index), content, opens, script),
  );
  const { from = 0, end, stallMs = 60_000, signal = new AbortController().signal } = setting;
  const chunks = resumeTransfer({
    sources: new SourceList(sources),
    from,
    ...(end === undefined ? {} : { end }),
    expectedSize: 'expectedSize' in setting ? setting.expectedSize : content.size,
    policy: { stallMs, giveUpMs: 60_000, minRate: setting.minRate ?? 0 },
    signal,
    observer: recorder.observer,
    now: clock.now,
    priority: { isBackground: setting.background ?? false, watch: () => () => {} },
    onQueue: () => {},
    onOpened: (source, size) => opened.push(`${source.upstream} ${size}`),
  });
  const parts: Buffer[] = [];
  let at = from;
  const run = async (): Promise<unknown> => {
    try {
      for await (const chunk of chunks) {
        if (chunk.at !== at) return new Error(`expected a chunk at ${at}, got one at ${chunk.at}`);
        if (chunk.bytes.length === 0) return new Error('expected bytes, got an empty chunk');
        parts.push(Buffer.from(chunk.bytes));
        at += chunk.bytes.length;
      }
      return undefined;
    } catch (error) {
      return error;
    }
  };
  return { bytes: () => Buffer.concat(parts), opens, opened, clock, recorder, run, chunks };
}

test('one source that gives everything is opened once', async () => {
  const { run, bytes, opens, opened, recorder } = transfer([[]]);
  expect(await run()).toBeUndefined();
  expect(bytes()).toEqual(content.slice(0, content.size));
  expect(opens).toEqual(['a 0-']);
  expect(opened).toEqual(['a 10000']);
  expect(recorder.events).toEqual([]);
});

test('it starts at the first byte wanted, and for a closed range asks for no more', async () => {
  const open = transfer([[]], { from: 4000 });
  expect(await open.run()).toBeUndefined();
  expect(open.bytes()).toEqual(content.slice(4000, content.size));
  const closed = transfer([[]], { from: 100, end: 200 });
  expect(await closed.run()).toBeUndefined();
  expect(closed.bytes()).toEqual(content.slice(100, 200));
  expect([open.opens, closed.opens]).toEqual([['a 4000-'], ['a 100-199']]);
});

test('when nothing is missing no source is asked', async () => {
  const { run, opens } = transfer([[]], { from: content.size });
  expect(await run()).toBeUndefined();
  expect(opens).toEqual([]);
});

test('that no client waits for it is said at each opening', async () => {
  const { run, opens } = transfer([[gives({ after: 1000 })]], { background: true });
  await run();
  expect(opens).toEqual(['a 0- background', 'a 1000- background']);
});

test.each<[string, Act, number, string]>([
  ['a cut', gives({ after: 3000 }), 60_000, 'cut'],
  ['an end before the end', gives({ after: 3000, ending: 'end' }), 60_000, 'cut'],
  ['a stall', gives({ after: 3000, ending: 'stall' }), 20, 'stall'],
])('after %s it goes on from the next byte, with one continuation', async (_what, act, stallMs, cause) => {
  const { run, bytes, opens, recorder } = transfer([[act]], { stallMs });
  expect(await run()).toBeUndefined();
  expect(bytes()).toEqual(content.slice(0, content.size));
  expect(opens).toEqual(['a 0-', 'a 3000-']);
  expect(recorder.events).toEqual([`downloadResumed a ${cause}`]);
});

test.each(['cut', 'end'] as const)('a closed range goes on within itself after a %s', async ending => {
  const { run, bytes, opens } = transfer([[gives({ after: 50, ending })]], { from: 100, end: 200 });
  expect(await run()).toBeUndefined();
  expect(bytes()).toEqual(content.slice(100, 200));
  expect(opens).toEqual(['a 100-199', 'a 150-199']);
});

test('the size that the first answer says is where the transfer ends, also after a cut', async () => {
  const { run, bytes, opened } = transfer([[gives({ after: 3000 })]], { expectedSize: undefined });
  expect(await run()).toBeUndefined();
  expect(bytes()).toEqual(content.slice(0, content.size));
  expect(opened).toEqual(['a 10000', 'a 10000']);
});

test('where no one knows the size, the end of the stream is the end', async () => {
  const { run, bytes, opened } = transfer([[gives({ size: undefined })]], { expectedSize: undefined });
  expect(await run()).toBeUndefined();
  expect(bytes()).toEqual(content.slice(0, content.size));
  expect(opened).toEqual(['a undefined']);
});

test.each<[string, Act[], string[]]>([
  ['refused', [gives({ after: 10 }), fails('unreachable'), fails('breaker')], ['downloadResumed a cut']],
  ['answering 503', [gives({ after: 10 }), fails('status')], ['downloadResumed a cut']],
  ['after its deadline', [gives({ after: 10 }), fails('timeout')], ['downloadResumed a cut']],
])('a source that is %s after a cut is asked again', async (_what, script, events) => {
  const { run, bytes, opens, recorder } = transfer([script]);
  expect(await run()).toBeUndefined();
  expect(bytes()).toEqual(content.slice(0, content.size));
  expect(opens).toEqual(['a 0-', ...script.map(() => 'a 10-')]);
  expect(recorder.events).toEqual(events);
});

test.each(['unreachable', 'timeout', 'status', 'limited', 'paused', 'breaker', 'range'] as const)(
  'what fails before the first byte with "%s" fails at once: the client has other sources',
  async failed => {
    const { run, opens } = transfer([[fails(failed)]]);
    expect(await run()).toMatchObject({ failure: failed });
    expect(opens).toEqual(['a 0-']);
  },
);

test.each(['unreachable', 'gone', 'denied', 'blocked'] as const)(
  'when the first source fails with "%s" before the first byte, the second is asked before any client hears of it',
  async failed => {
    const { run, bytes, opens } = transfer([[fails(failed)], []]);
    expect(await run()).toBeUndefined();
    expect(bytes()).toEqual(content.slice(0, content.size));
    expect(opens).toEqual(['a 0-', 'b 0-']);
  },
);

test('when all sources fail before the first byte, each has been asked once', async () => {
  const { run, opens } = transfer([[fails('unreachable')], [fails('gone')], [fails('status')]]);
  expect(await run()).toMatchObject({ failure: 'status' });
  expect(opens).toEqual(['a 0-', 'b 0-', 'c 0-']);
});

test('two sources are asked in turn', async () => {
  const { run, bytes, opens, recorder } = transfer([
    [gives({ after: 1000 }), gives({ after: 1000 })],
    [gives({ after: 1000 })],
  ]);
  expect(await run()).toBeUndefined();
  expect(bytes()).toEqual(content.slice(0, content.size));
  expect(opens).toEqual(['a 0-', 'b 1000-', 'a 2000-', 'b 3000-']);
  expect(recorder.events).toEqual([
    'downloadResumed b cut',
    'downloadResumed a cut',
    'downloadResumed b cut',
  ]);
});

test('a source that says a final no in the middle is not asked again', async () => {
  const { run, opens } = transfer([[gives({ after: 1000 }), fails('gone')], [gives({ after: 1000 })]]);
  expect(await run()).toBeUndefined();
  expect(opens).toEqual(['a 0-', 'b 1000-', 'a 2000-', 'b 2000-']);
});

test('when the last source says a final no, that is the error', async () => {
  const { run, opens, bytes } = transfer([[gives({ after: 1000 }), fails('denied')]]);
  expect(await run()).toMatchObject({ failure: 'denied' });
  expect(bytes()).toHaveLength(1000);
  expect(opens).toEqual(['a 0-', 'a 1000-']);
});

test('a source with a blob of another length gives no byte and is dropped', async () => {
  const { run, bytes, opens, opened } = transfer([
    [gives({ content: other, size: 12_000 })],
    [gives({ after: 10 })],
  ]);
  expect(await run()).toBeUndefined();
  expect(bytes()).toEqual(content.slice(0, content.size));
  expect(opens).toEqual(['a 0-', 'b 0-', 'b 10-']);
  expect(opened).toEqual(['b 10000', 'b 10000']);
});

test('a source that changes the length in the middle gives no further byte', async () => {
  const { run, bytes } = transfer([[gives({ after: 3000 }), gives({ content: other, size: 12_000 })]], {
    expectedSize: undefined,
  });
  expect(await run()).toMatchObject({
    failure: 'mismatch',
    message: expect.stringMatching(/12000 .* 10000/),
  });
  expect(bytes()).toHaveLength(3000);
});

test('a source that leaves a gap gives no byte', async () => {
  const { run, bytes } = transfer([[gives({ startsAt: 5 })]]);
  expect(await run()).toMatchObject({ failure: 'mismatch' });
  expect(bytes()).toHaveLength(0);
});

test('a source that knows no ranges is read from its start, and what is known is skipped', async () => {
  const { run, bytes, opens } = transfer([
    [gives({ after: 3000 }), gives({ ignoresRange: true, chunkBytes: 700 })],
  ]);
  expect(await run()).toBeUndefined();
  expect(bytes()).toEqual(content.slice(0, content.size));
  expect(opens).toEqual(['a 0-', 'a 3000-']);
});

test('of a source that knows no ranges a closed range is cut out, and the rest is not read', async () => {
  const read: number[] = [];
  const act = gives({ ignoresRange: true, chunkBytes: 60, beforeChunk: at => void read.push(at) });
  const { run, bytes } = transfer([[act]], { from: 100, end: 200 });
  expect(await run()).toBeUndefined();
  expect(bytes()).toEqual(content.slice(100, 200));
  expect(Math.max(...read)).toBeLessThan(400);
});

test.each([
  ['known before', content.size],
  ['learnt from the answer', undefined],
])('surplus bytes after a size that was %s are not given out', async (_what, expectedSize) => {
  const { run, bytes } = transfer([[gives({ surplus: 500 })]], { expectedSize });
  expect(await run()).toBeUndefined();
  expect(bytes()).toEqual(content.slice(0, content.size));
});

test('a source that cannot give the range is asked for the whole', async () => {
  const { run, bytes, opens } = transfer([[gives({ after: 3000 }), fails('range')]]);
  expect(await run()).toBeUndefined();
  expect(bytes()).toEqual(content.slice(0, content.size));
  expect(opens).toEqual(['a 0-', 'a 3000-', 'a 0-']);
});

test('also when that is the first thing it is asked for, and from then on each time', async () => {
  const { run, bytes, opens } = transfer([[fails('range'), gives({ after: 7000 })]], { from: 5000 });
  expect(await run()).toBeUndefined();
  expect(bytes()).toEqual(content.slice(5000, content.size));
  expect(opens).toEqual(['a 5000-', 'a 0-', 'a 0-']);
});

test('for a closed range the whole is not fetched: that it cannot be given is the answer', async () => {
  const { run, opens } = transfer([[fails('range')]], { from: 5000, end: 6000 });
  expect(await run()).toMatchObject({ failure: 'range' });
  expect(opens).toEqual(['a 5000-5999']);
});

test('it gives up when no new byte has come for that long', async () => {
  const { run, bytes, opens, clock } = transfer([
    [
      gives({ after: 1000 }),
      opening => {
        clock.advance(59_999);
        return fails('unreachable')(opening);
      },
      opening => {
        clock.advance(1);
        return fails('timeout')(opening);
      },
    ],
  ]);
  expect(await run()).toMatchObject({ failure: 'timeout' });
  expect(bytes()).toHaveLength(1000);
  expect(opens).toEqual(['a 0-', 'a 1000-', 'a 1000-']);
});

test('a stall that is given up fails as an error of the upstream, as everything else does', async () => {
  const { run, clock } = transfer(
    [
      [
        opening => {
          clock.advance(60_000);
          return gives({ after: 0, ending: 'stall' })(opening);
        },
      ],
    ],
    { stallMs: 10 },
  );
  expect(await run()).toMatchObject({ name: 'UpstreamError', failure: 'timeout', code: 'BLOB_UNKNOWN' });
});

test('each new byte starts the time anew', async () => {
  const slow: Act = opening => {
    clock.advance(59_000);
    return gives({ after: 1000 })(opening);
  };
  const { run, bytes, clock } = transfer([[slow, slow, slow, slow]]);
  expect(await run()).toBeUndefined();
  expect(bytes()).toEqual(content.slice(0, content.size));
});

test('the time in which the consumer was slow does not count', async () => {
  const { chunks, clock, opens } = transfer([[gives({ after: 1000 })]]);
  await chunks.next();
  clock.advance(3_600_000);
  const { value } = await chunks.next();
  expect(value).toMatchObject({ at: 1000 });
  expect(opens).toEqual(['a 0-', 'a 1000-']);
});

test('a source that ends at the same place again and again is no progress: it is not asked for ever', async () => {
  const short: Act = opening => {
    clock.advance(25_000);
    return gives({ ignoresRange: true, size: undefined, after: 3000, ending: 'end' })(opening);
  };
  const { run, bytes, opens, clock } = transfer([[short, short, short, short, short]]);
  expect(await run()).toMatchObject({ failure: 'unreachable' });
  expect(bytes()).toHaveLength(3000);
  expect(opens).toEqual(['a 0-', 'a 3000-', 'a 3000-', 'a 3000-']);
});

test('a wait that was asked for is kept when there is time for it', async () => {
  const { run, opens } = transfer([
    [
      gives({ after: 10 }),
      opening => {
        setTimeout(() => opens.push('sooner'), 140); // beyond the pause that it takes by itself
        return fails('limited', 180)(opening);
      },
    ],
  ]);
  expect(await run()).toBeUndefined();
  expect(opens).toEqual(['a 0-', 'a 10-', 'sooner', 'a 10-']);
});

test('a source that asks for a pause twice gets it twice', async () => {
  const { run, bytes, opens } = transfer([[gives({ after: 10 }), fails('limited', 30), fails('paused', 30)]]);
  expect(await run()).toBeUndefined();
  expect(bytes()).toHaveLength(content.size);
  expect(opens).toEqual(['a 0-', 'a 10-', 'a 10-', 'a 10-']);
});

test('a wait that was asked for beyond the time there is ends the transfer at once', async () => {
  const { run, opens, clock } = transfer([
    [
      gives({ after: 10 }),
      opening => {
        clock.advance(30_000);
        return fails('limited', 30_001)(opening);
      },
    ],
  ]);
  expect(await run()).toMatchObject({ failure: 'limited', retryAfterMs: 30_001 });
  expect(opens).toEqual(['a 0-', 'a 10-']);
});

test('an error that is none of the upstream is not answered by asking again', async () => {
  const { run, opens } = transfer([[gives({ after: 10, ending: new TypeError('a mistake of ours') })], []]);
  expect(await run()).toBeInstanceOf(TypeError);
  expect(opens).toEqual(['a 0-']);
});

test.each<[string, Act]>([
  ['the opening', hangs],
  ['the stream', gives({ after: 10, ending: 'stall' })],
])('an abort ends %s with its reason, and no source is asked again', async (_where, act) => {
  const controller = new AbortController();
  const { run, opens } = transfer([[act], []], { signal: controller.signal });
  const running = run();
  expect(await isPending(running)).toBe(true);
  const reason = new Error('the last client has left');
  controller.abort(reason);
  expect(await running).toBe(reason);
  expect(opens).toEqual(['a 0-']);
});

test('an abort ends the wait before the next try', async () => {
  const controller = new AbortController();
  const { run, opens } = transfer([[gives({ after: 10 }), fails('limited', 50_000)]], {
    signal: controller.signal,
  });
  const running = run();
  while (opens.length < 2) await isPending(running);
  const reason = new Error('shutting down');
  controller.abort(reason);
  expect(await running).toBe(reason);
});

test('a consumer that leaves ends the stream', async () => {
  const ended = deferred();
  const { chunks } = transfer([[gives({ onEnd: ended.resolve, chunkBytes: 100 })]]);
  await chunks.next();
  await chunks.return();
  await ended.promise;
  expect(await chunks.next()).toEqual({ done: true, value: undefined });
});

test('the stream of an answer that is refused for its length is ended', async () => {
  const controller = new AbortController();
  let given: AbortSignal | undefined;
  const act: Act = opening => {
    given = opening.signal;
    return gives({ content: other, size: 12_000 })(opening);
  };
  const { run } = transfer([[act]], { signal: controller.signal });
  expect(await run()).toMatchObject({ failure: 'mismatch' });
  expect(given?.aborted).toBe(true);
});

test('whatever the sources do, what comes out is the content without gaps', async () => {
  const act = fc
    .record({
      after: fc.integer({ min: 1, max: 4000 }),
      ending: fc.constantFrom('cut' as const, 'end' as const),
      ignoresRange: fc.boolean(),
      chunkBytes: fc.integer({ min: 1, max: 3000 }),
      hidesSize: fc.boolean(),
    })
    .map(({ hidesSize, ...options }) => gives({ ...options, ...(hidesSize && { size: undefined }) }));
  const script = fc.array(
    fc.oneof({ weight: 5, arbitrary: act }, { weight: 1, arbitrary: fc.constant(fails('gone')) }),
    {
      maxLength: 3,
    },
  );
  await fc.assert(
    fc.asyncProperty(script, script, fc.nat({ max: content.size }), async (a, b, from) => {
      const { run, bytes } = transfer([a, b, []], { from });
      const error = await run();
      expect(error).toBeUndefined();
      expect(bytes().equals(content.slice(from, content.size))).toBe(true);
    }),
    { numRuns: 60 },
  );
});

test('the failure that a test injects is one of the table', () => {
  expect(failure('range')).toMatchObject({ code: 'BLOB_UNKNOWN', failure: 'range' });
});

/** When a silent connection is given up, by a clock that moves only when told. */

/** Drips: 10 bytes a second, of chunks of 10 bytes. */
function drips(clock: HandClock): Act {
  return gives({ chunkBytes: 10, beforeChunk: () => clock.advance(1000) });
}

test('a source that only drips counts as failed: the next one goes on where it was', async () => {
  const clock = new HandClock();
  const { run, bytes, opens, recorder } = transfer([[drips(clock)], []], { minRate: 1024, clock });
  expect(await run()).toBeUndefined();
  expect(bytes()).toEqual(content.slice(0, content.size));
  expect(opens).toEqual(['a 0-', 'b 600-']);
  expect(recorder.events).toEqual(['downloadResumed b slow']);
});

test('one source alone is asked anew; a transfer in the background ends, with what came', async () => {
  const clock = new HandClock();
  const live = transfer([[drips(clock)]], { minRate: 1024, clock });
  expect(await live.run()).toBeUndefined();
  expect(live.opens).toEqual(['a 0-', 'a 600-']);
  const left = transfer([[drips(clock)]], { minRate: 1024, clock, background: true });
  expect(await left.run()).toMatchObject({ failure: 'timeout', code: 'BLOB_UNKNOWN' });
  expect([left.bytes().length, left.opens]).toEqual([600, ['a 0- background']]);
});

test('a connection that is given to another transfer is no failure: the same source is asked again, without a pause', async () => {
  const { run, bytes, opens, recorder } = transfer(
    [
      [
        gives({ after: 1000, ending: new TransferYielded() }),
        gives({ after: 500, ending: new TransferYielded() }),
      ],
      [],
    ],
    { background: true },
  );
  expect(await run()).toBeUndefined();
  expect(bytes()).toEqual(content.slice(0, content.size));
  expect(opens).toEqual(['a 0- background', 'a 1000- background', 'a 1500- background']);
  expect(recorder.events).toEqual([]);
});

test('an hour in a queue of our own is no time without progress', async () => {
  const clock = new HandClock();
  const queues: Act = opening => {
    opening.onQueue?.(true);
    clock.advance(3_600_000);
    opening.onQueue?.(false);
    throw failure('unreachable');
  };
  const { run, bytes, opens } = transfer([[gives({ after: 1000 }), queues, gives()]], { clock });
  expect(await run()).toBeUndefined();
  expect(bytes()).toEqual(content.slice(0, content.size));
  expect(opens).toEqual(['a 0-', 'a 1000-', 'a 1000-']);
});
