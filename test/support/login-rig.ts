/** A registry with users on a real port, whose passwords are `NAME's`, in front of a fake upstream; and a client that logs in as real ones do. */
import { createHash } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type CallResult, get, request } from './client.ts';
import { startTestMirror, type TestMirror } from './mirror.ts';
import { tempDir } from './temp-dir.ts';
import { type FakeUpstream, startFakeUpstream } from './upstream.ts';
import { basic } from './users.ts';

export interface LoginRigOptions {
  readonly users?: readonly string[];
  readonly access?: Readonly<Record<string, unknown>>;
  readonly http?: Readonly<Record<string, unknown>>;
  readonly now?: () => number;
}

export interface LoginRig {
  readonly mirror: TestMirror;
  readonly upstream: FakeUpstream;
  readonly htpasswd: string;
}

/** Quick to check, so that tests are quick. */
export function htpasswdLine(name: string, password = `${name}'s`): string {
  return `${name}:{SHA}${createHash('sha1').update(password).digest('base64')}\n`;
}

export async function startLoginRig(options: LoginRigOptions = {}): Promise<LoginRig> {
  const { users = ['alice', 'bob'], access, http, now } = options;
  const htpasswd = join(await tempDir(), 'htpasswd');
  await writeFile(htpasswd, users.map(name => htpasswdLine(name)).join(''));
  const upstream = await startFakeUpstream();
  const mirror = await startTestMirror({
    upstream,
    config: {
      hosted: { repositories: ['team/**'] },
      access: { htpasswd, ...access },
      ...(http && { http }),
    },
    ...(now && { now }),
  });
  return { mirror, upstream, htpasswd };
}

export interface TokenAnswer {
  readonly status: number;
  readonly token: string;
  readonly body: Readonly<Record<string, unknown>>;
}

/** `user` undefined: without credentials. */
export async function askToken(
  url: string,
  user: string | undefined,
  { scopes = [], password }: { readonly scopes?: readonly string[]; readonly password?: string } = {},
): Promise<TokenAnswer> {
  const query = new URLSearchParams({ service: 'cistern' });
  for (const scope of scopes) query.append('scope', scope);
  const headers = user === undefined ? {} : { Authorization: basic(user, password ?? `${user}'s`) };
  return readToken(await get(url, `/token?${query}`, { headers }));
}

/** As containerd asks first. */
export async function postToken(url: string, form: Readonly<Record<string, string>>): Promise<TokenAnswer> {
  const body = new URLSearchParams(form).toString();
  const headers = {
    'Content-Type': 'application/x-www-form-urlencoded; charset=utf-8',
    'Content-Length': String(body.length),
  };
  return readToken(await request(url, { method: 'POST', path: '/token', headers, body }).done);
}

function readToken({ status, body }: CallResult): TokenAnswer {
  const parsed = JSON.parse(body.toString());
  return { status, token: String(parsed.token), body: parsed };
}
