/**
 * Where the scrub of this store is, in a file of one line: the position of a pass that was ended, when the last one was complete, and which
 * hosted files are damaged. Damaged or missing, it costs one more pass.
 */
import { type Digest, isDigest } from '../oci/digest.ts';
import {
  formatChecksummedLine,
  isOdd,
  parseChecksummedLine,
  readRegular,
  writeDurably,
} from './disk-files.ts';
import type { StoreLayout } from './layout.ts';
import type { StoreObserver } from './store-error.ts';

/** A pass that is under way, or was ended before it was complete. */
export interface ScrubPosition {
  /** Milliseconds since the epoch. */
  readonly startedMs: number;
  /** All up to it are compared. Undefined: none is. */
  readonly after: Digest | undefined;
  readonly files: number;
  readonly bytes: number;
}

export interface DamagedFile {
  readonly digest: Digest;
  /** Of the file that is damaged; empty: there is none. */
  readonly fileId: string;
  readonly problem: 'damaged' | 'missing';
  /** Milliseconds since the epoch. */
  readonly foundMs: number;
}

export interface ScrubState {
  /** When this store was first looked after: milliseconds since the epoch. */
  readonly sinceMs: number;
  readonly position: ScrubPosition | undefined;
  /** When the last complete pass ended: milliseconds since the epoch. */
  readonly endedMs: number | undefined;
  /** Hosted files: they stay in their place. */
  readonly damaged: readonly DamagedFile[];
}

export interface ScrubFileOptions {
  readonly layout: StoreLayout;
  readonly observer: StoreObserver;
}

export class ScrubFile {
  readonly #options: ScrubFileOptions;
  #writing: Promise<unknown> = Promise.resolve();

  constructor(options: ScrubFileOptions) {
    this.#options = options;
  }

  /** Undefined: there is none, or it is damaged. Errors: system errors. */
  async read(): Promise<ScrubState | undefined> {
    const text = await readRegular(this.#options.layout.scrubPath).catch((error: unknown) => {
      if (!isOdd(error)) throw error;
      return undefined; // as good as damaged
    });
    return parseState(parseChecksummedLine(text?.trimEnd() ?? ''));
  }

  /** One write after the other. Errors: `StoreError` write, sync or rename. */
  write(state: ScrubState): Promise<void> {
    const { layout, observer } = this.#options;
    const bytes = Buffer.from(formatChecksummedLine(state));
    const written = this.#writing.then(() =>
      writeDurably(observer, layout.tempPath(), layout.scrubPath, bytes),
    );
    this.#writing = written.catch(() => undefined); // its caller has the error
    return written;
  }
}

/** The checksum is right, so the shape is that of some version of this program: each field is read with care all the same. */
function parseState(value: unknown): ScrubState | undefined {
  const sinceMs = numberIn(value, 'sinceMs');
  if (sinceMs === undefined) return undefined;
  const damaged = field(value, 'damaged');
  return {
    sinceMs,
    endedMs: numberIn(value, 'endedMs'),
    position: parsePosition(field(value, 'position')),
    damaged: (Array.isArray(damaged) ? damaged : []).flatMap(parseDamaged),
  };
}

function parsePosition(value: unknown): ScrubPosition | undefined {
  const startedMs = numberIn(value, 'startedMs');
  if (startedMs === undefined) return undefined;
  const after = field(value, 'after');
  return {
    startedMs,
    after: typeof after === 'string' && isDigest(after) ? after : undefined,
    files: numberIn(value, 'files') ?? 0,
    bytes: numberIn(value, 'bytes') ?? 0,
  };
}

function parseDamaged(value: unknown): DamagedFile[] {
  const digest = field(value, 'digest');
  const fileId = field(value, 'fileId');
  const foundMs = numberIn(value, 'foundMs');
  if (typeof digest !== 'string' || !isDigest(digest) || typeof fileId !== 'string' || foundMs === undefined)
    return [];
  return [
    { digest, fileId, foundMs, problem: field(value, 'problem') === 'missing' ? 'missing' : 'damaged' },
  ];
}

function field(value: unknown, key: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, key) : undefined;
}

function numberIn(value: unknown, key: string): number | undefined {
  const found = field(value, key);
  return typeof found === 'number' ? found : undefined;
}
