/** What a user sees of long work, on a terminal and in a file. The clock and the timers are the test's. */
import { PassThrough } from 'node:stream';
import { expect, test } from 'vitest';
import { ProgressReporter, withProgress } from '../../../../src/cli/terminal/progress-reporter.ts';
import type { Timers } from '../../../../src/lib/wait.ts';

const escapes = new RegExp(`${String.fromCharCode(27)}(?:[78]|\\[[0-9;?]*[A-Za-z])`, 'g');

class Rig {
  readonly stream: PassThrough & { isTTY?: boolean; columns?: number } = new PassThrough();
  readonly reporter: ProgressReporter;
  #nowMs = 0;
  #pending: { readonly atMs: number; readonly run: () => void } | undefined;

  /** `earlyMs`: by which timers end before their time on this clock, as those of Node may. */
  constructor(isTTY: boolean, columns = 120, earlyMs = 0) {
    Object.assign(this.stream, { isTTY, columns });
    const timers: Timers = {
      after: (delayMs, run) => {
        this.#pending = { atMs: this.#nowMs + delayMs - earlyMs, run };
        return () => {
          this.#pending = undefined;
        };
      },
    };
    this.reporter = new ProgressReporter({
      label: 'gc',
      stream: this.stream,
      now: () => this.#nowMs,
      timers,
    });
  }

  pass(ms: number): void {
    this.#nowMs += ms;
    const due = this.#pending;
    if (due === undefined || due.atMs > this.#nowMs) return;
    this.#pending = undefined;
    due.run();
  }

  /** Since the last call. */
  shown(): string {
    return String(this.stream.read() ?? '');
  }

  text(): string {
    return this.shown().replaceAll(escapes, '');
  }
}

test('work that says nothing after its first second shows what it has done, also when the timer was early', () => {
  const rig = new Rig(false, 120, 0.4);
  rig.reporter.update({ done: 1, total: 2, unit: 'images' });
  rig.pass(999.7);
  expect(rig.text()).toBe('gc: 50 %, 1 of 2 images\n');
});

test.each([true, false])('work of less than a second shows nothing (terminal: %s)', isTTY => {
  const rig = new Rig(isTTY);
  rig.reporter.update({ done: 1, total: 2, unit: 'images' });
  rig.pass(999);
  rig.reporter.update({ done: 2, total: 2, unit: 'images' });
  rig.reporter.end();
  rig.pass(5000);
  expect(rig.shown()).toBe('');
});

test('in a file: a plain line after a second, then one every ten seconds, with amount, rate and what is left', () => {
  const rig = new Rig(false);
  rig.reporter.update({ done: 0, total: 100 * 2 ** 20, unit: 'bytes' });
  rig.pass(2000);
  expect(rig.shown()).toBe('gc: 0 %, 0 B of 100 MiB\n'); // by the timer: no update came
  for (let second = 3; second <= 13; second += 1) {
    rig.pass(1000);
    rig.reporter.update({ done: second * 2 ** 20, total: 100 * 2 ** 20, unit: 'bytes', note: 'team/app' });
  }
  expect(rig.shown()).toBe('gc: 12 %, 12.0 MiB of 100 MiB, 1.0 MiB/s, 1 min left, team/app\n');
  rig.reporter.say('team/app: skipped');
  rig.reporter.end();
  expect(rig.shown()).toBe('team/app: skipped\n');
});

test('on a terminal: a bar, drawn over itself, that is gone at the end', () => {
  const rig = new Rig(true);
  rig.reporter.update({ done: 5, total: 20, unit: 'repositories' });
  rig.pass(1000);
  expect(rig.text()).toBe('gc [======------------------] 25 %, 5 of 20 repositories');
  rig.reporter.end();
  const end = rig.shown();
  expect(end.endsWith('\u001b[1G\u001b[2K')).toBe(true); // to the first column, and the line is clear
  expect(end).not.toContain('\n');
});

test('a line that stays is written where the bar was, and the bar comes again after it', () => {
  const rig = new Rig(true);
  rig.reporter.update({ done: 5, total: 20, unit: 'images' });
  rig.pass(1000);
  rig.shown();
  rig.reporter.say('busybox: not held');
  const shown = rig.shown();
  const [before = '', after = ''] = shown.split('busybox: not held\n');
  expect(before.endsWith('\u001b[2K')).toBe(true);
  expect(after.replaceAll(escapes, '')).toBe('gc [======------------------] 25 %, 5 of 20 images');
  rig.reporter.end();
});

test('a bar is never wider than its terminal, and never switches the wrapping of the terminal off', () => {
  const rig = new Rig(true, 40);
  rig.reporter.update({ done: 5, total: 20, unit: 'images', note: 'a name that is much too long for it' });
  rig.pass(1000);
  const shown = rig.shown();
  expect(shown.replaceAll(escapes, '')).toBe('gc [======------------------] 25 %, 5 of');
  expect(shown).not.toContain('\u001b[?7l');
  rig.reporter.end();
});

test('without a total there is no bar, only what is done; each part of the work has its own rate', () => {
  const rig = new Rig(false);
  rig.pass(1000);
  rig.reporter.update({ done: 3, unit: 'repositories' });
  rig.pass(10_000);
  rig.reporter.update({ done: 0, total: 2 ** 20, unit: 'bytes' });
  rig.pass(10_000);
  rig.reporter.update({ done: 2 ** 19, total: 2 ** 20, unit: 'bytes' });
  expect(rig.shown()).toBe(
    'gc: 3 repositories\ngc: 0 %, 0 B of 1.0 MiB\ngc: 50 %, 512 KiB of 1.0 MiB, 51.2 KiB/s, 10 s left\n',
  );
  rig.reporter.end();
});

test('withProgress: no stream, no listener; the bar goes when the work fails too', async () => {
  expect(await withProgress({}, 'gc', async onProgress => onProgress)).toBeUndefined();
  const stream = new PassThrough();
  expect(
    await withProgress({ progressTo: stream, json: true }, 'gc', async onProgress => onProgress),
  ).toBeUndefined();
  const failing = withProgress({ progressTo: stream }, 'gc', async onProgress => {
    onProgress?.({ done: 1, unit: 'images' });
    throw new Error('no disk');
  });
  await expect(failing).rejects.toThrow('no disk');
  expect(stream.read()).toBeNull();
});
