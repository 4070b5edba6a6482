/**
 * The closed table of errors that a client can see (OCI distribution-spec "Error Codes", and three of ours).
 * Only `http/` turns a `RegistryError` into a response.
 */
const table = {
  BLOB_UNKNOWN: { status: 404, message: 'blob unknown to registry' },
  BLOB_UPLOAD_INVALID: { status: 400, message: 'blob upload invalid' },
  BLOB_UPLOAD_UNKNOWN: { status: 404, message: 'blob upload unknown to registry' },
  DENIED: { status: 403, message: 'requested access to the resource is denied' },
  DIGEST_INVALID: { status: 400, message: 'provided digest did not match its content or its grammar' },
  MANIFEST_BLOB_UNKNOWN: { status: 404, message: 'manifest references a blob unknown to registry' },
  MANIFEST_INVALID: { status: 400, message: 'manifest invalid' },
  MANIFEST_UNKNOWN: { status: 404, message: 'manifest unknown to registry' },
  NAME_INVALID: { status: 400, message: 'invalid repository name' },
  NAME_UNKNOWN: { status: 404, message: 'repository name not known to registry' },
  RANGE_INVALID: { status: 416, message: 'range not satisfiable' },
  SIZE_INVALID: { status: 400, message: 'provided length did not match the content' },
  TAG_INVALID: { status: 400, message: 'invalid tag' },
  TOOMANYREQUESTS: { status: 429, message: 'too many requests' },
  UNAUTHORIZED: { status: 401, message: 'authentication required' },
  UNAVAILABLE: { status: 503, message: 'not held here, and the upstream cannot be asked now' },
  UNKNOWN: { status: 500, message: 'unexpected error' },
  UNSUPPORTED: { status: 405, message: 'the operation is unsupported' },
} as const;

export type ErrorCode = keyof typeof table;

export function isErrorCode(code: unknown): code is ErrorCode {
  return typeof code === 'string' && Object.hasOwn(table, code);
}

export interface RegistryErrorOptions {
  /** What was expected and what came. Never a secret, a credential or a signed URL. */
  readonly message?: string;
  readonly detail?: Readonly<Record<string, unknown>>;
  /** Overrides the table's status, where the spec leaves a choice (404 for an unavailable blob). */
  readonly status?: number;
  readonly cause?: unknown;
}

export class RegistryError extends Error {
  readonly code: ErrorCode;
  readonly status: number;
  readonly detail: Readonly<Record<string, unknown>> | undefined;

  constructor(code: ErrorCode, options: RegistryErrorOptions = {}) {
    super(
      options.message ?? table[code].message,
      options.cause === undefined ? {} : { cause: options.cause },
    );
    this.name = 'RegistryError';
    this.code = code;
    this.status = options.status ?? table[code].status;
    this.detail = options.detail;
  }

  /** The body of OCI distribution-spec "Error Codes". */
  toJSON(): { errors: { code: ErrorCode; message: string; detail?: Readonly<Record<string, unknown>> }[] } {
    const detail = this.detail === undefined ? {} : { detail: this.detail };
    return { errors: [{ code: this.code, message: this.message, ...detail }] };
  }
}

/** Foreign text as it may stand in a message: quoted, control characters escaped, at most 160 characters of it. */
export function excerpt(text: string): string {
  return JSON.stringify(text.slice(0, 160));
}

/** An upstream's error. Each text is one line of at most 300 characters, for logs and details. */
export interface ErrorBody {
  readonly code: string;
  readonly message: string;
}

const maxErrorTextLength = 300;

/** The first error of an error body (OCI distribution-spec "Error Codes"); undefined for anything else. */
export function parseErrorBody(bytes: Uint8Array): ErrorBody | undefined {
  let body: unknown;
  try {
    body = JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8'));
  } catch {
    return undefined; // an HTML page or plain text: the status has to do
  }
  const errors = field(body, 'errors');
  const first: unknown = Array.isArray(errors) ? errors[0] : undefined;
  const code = field(first, 'code');
  if (typeof code !== 'string') return undefined;
  const message = field(first, 'message');
  return { code: oneLine(code), message: oneLine(typeof message === 'string' ? message : '') };
}

function field(value: unknown, key: string): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, key)
    ? Reflect.get(value, key)
    : undefined;
}

function oneLine(text: string): string {
  return text.slice(0, maxErrorTextLength).replace(/\p{Cc}+/gu, ' ');
}
