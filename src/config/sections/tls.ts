/** `http.tls` and the listeners that speak it: the keys, the rules between them, and the configuration made of them. */
import { z } from 'zod';
import { checkPair, readLeaf, type TlsConfig } from '../certificate.ts';
import type { Findings } from '../findings.ts';
import { formatPath, isSection, type Path, refusal, valueAt } from '../problem.ts';
import { parsed, text, word } from '../schema-values.ts';

const above = ['http', 'tls'] as const;

/** `auto` alone is short for `{ auto: true }`. */
export const tlsSchema = z
  .preprocess(
    value => (isSection(value) ? value : { auto: value }),
    z.strictObject({
      auto: parsed(parseAuto).optional(),
      certificate: text.optional(),
      key: text.optional(),
      names: z
        .array(z.strictObject({ host: parsed(parseServerName), certificate: text, key: text }))
        .prefault([]),
      client_ca: text.optional(),
      client_auth: word('optional', 'required').optional(),
    }),
  )
  .optional();

/** Reads the raw tree, so that a bad value elsewhere hides nothing. */
export function checkTls(tree: unknown, findings: Findings): void {
  const tls = valueAt(tree, above);
  const listen = valueAt(tree, ['http', 'listen']);
  if (tls === undefined) {
    for (const [index, entry] of (Array.isArray(listen) ? listen : []).entries())
      if (isSection(entry) && entry['tls'] === true)
        findings.report(['http', 'listen', index, 'tls'], 'needs http.tls');
    return;
  }
  if (!isSection(tls)) return;
  const isGiven = (key: string): boolean => tls[key] !== undefined;
  const refuse = (key: string, message: string): void => findings.report([...above, key], message, 'key');
  if (isGiven('auto') && tls['auto'] !== false) {
    for (const key of ['certificate', 'key'].filter(isGiven))
      refuse(key, 'cannot be used together with auto, which makes its own');
    if (Array.isArray(tls['names']) && tls['names'].length > 0)
      refuse('names', 'cannot be used together with auto; write further hosts into http.names');
  } else if (!isGiven('certificate') && !isGiven('key')) {
    findings.report(above, 'needs certificate and key, or auto: true', 'key');
  }
  if (isGiven('certificate') && !isGiven('key')) refuse('certificate', 'needs key');
  if (isGiven('key') && !isGiven('certificate')) refuse('key', 'needs certificate');
  if (isGiven('client_auth') && !isGiven('client_ca')) refuse('client_auth', 'needs client_ca');
}

/** The sections that name a certificate and its key. */
export function tlsSections(tree: unknown): Path[] {
  const names = valueAt(tree, [...above, 'names']);
  const entries = Array.isArray(names) ? names : [];
  return [[...above], ...entries.map((_entry, index) => [...above, 'names', index])];
}

/** `texts`: of the files that could be read, by the formatted path of the key. */
export function checkTlsFiles(tree: unknown, texts: ReadonlyMap<string, string>, findings: Findings): void {
  for (const path of tlsSections(tree)) {
    const certificate = texts.get(formatPath([...path, 'certificate']));
    const key = texts.get(formatPath([...path, 'key']));
    if (certificate === undefined || key === undefined) continue;
    const flaw = checkPair({ certificate, key }, Date.now());
    if (flaw !== undefined) findings.report([...path, flaw.blames], flaw.message);
    else if (path.length > above.length) checkHost(path, certificate, tree, findings);
  }
}

function checkHost(path: Path, certificate: string, tree: unknown, findings: Findings): void {
  const host = valueAt(tree, [...path, 'host']);
  if (typeof host !== 'string' || host.startsWith('*.')) return;
  if (readLeaf(certificate).checkHost(host.toLowerCase()) === undefined)
    findings.report([...path, 'certificate'], `the certificate is not for ${host}`);
}

/** `locate`: the absolute path of a file that a key names. */
export function assembleTls(
  tls: z.output<typeof tlsSchema>,
  locate: (path: Path, file: string) => string,
): TlsConfig | undefined {
  if (tls === undefined) return undefined;
  const { certificate, key, client_ca } = tls;
  return {
    ...(certificate !== undefined &&
      key !== undefined && {
        files: {
          certificate: locate([...above, 'certificate'], certificate),
          key: locate([...above, 'key'], key),
        },
      }),
    names: tls.names.map((entry, index) => ({
      host: entry.host,
      certificate: locate([...above, 'names', index, 'certificate'], entry.certificate),
      key: locate([...above, 'names', index, 'key'], entry.key),
    })),
    ...(client_ca !== undefined && {
      clients: {
        ca: locate([...above, 'client_ca'], client_ca),
        areRequired: tls.client_auth === 'required',
      },
    }),
  };
}

/** The only short form; a variable of the environment is text. */
function parseAuto(value: unknown): boolean {
  if (value === true || value === 'true' || value === 'auto') return true;
  if (value === false || value === 'false') return false;
  throw refusal('auto, or a section with certificate and key', value);
}

/** As clients send it in their hello: never with a port, and never an address. */
function parseServerName(value: unknown): string {
  const host = typeof value === 'string' ? value.toLowerCase() : '';
  const isName = /^(?:\*\.)?[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?$/.test(host) && !/^[0-9.]+$/.test(host);
  if (isName && host.length <= 253) return host;
  throw refusal('a host name such as mirror.lan or *.lan, without a port', value);
}
