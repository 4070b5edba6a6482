/**
 * Who may do what, all of it: anonymous, reader, writer, deleter and admin at every endpoint, of a repository that exists and of one that does
 * not. A refusal is the same for both.
 */
import { beforeAll, expect, test } from 'vitest';
import { type BuiltImage, buildImage } from '../support/images.ts';
import { askToken, type LoginRig, startLoginRig } from '../support/login-rig.ts';
import { finish, pushBlob, send, startUpload } from '../support/upload-client.ts';
import { basic } from '../support/users.ts';

const users = ['reader', 'writer', 'deleter', 'admin'] as const;
type Who = 'anonymous' | (typeof users)[number];

const rule = (actions: readonly string[], ...names: readonly Who[]) => ({
  repositories: ['team/**'],
  users: names,
  actions,
});
const rules = [
  rule(['pull'], 'reader'),
  rule(['pull', 'push'], 'writer'),
  rule(['pull', 'push', 'delete'], 'deleter'),
  rule(['pull', 'push', 'delete', 'admin'], 'admin'),
  { repositories: ['docker.io/**'], users: ['anonymous'], actions: ['pull'] },
];

interface Rig extends LoginRig {
  readonly image: BuiltImage;
}

async function start(): Promise<Rig> {
  const rig = await startLoginRig({ users, access: { rules } });
  const image = buildImage();
  rig.upstream.put('library/alpine', image, 'latest');
  return { ...rig, image };
}

function headersOf(who: Who): Record<string, string> {
  return who === 'anonymous' ? {} : { Authorization: basic(who) };
}

/** Puts the image there, so that each request finds the repository as the last one did. */
async function fill({ mirror, image }: Rig, name: string): Promise<void> {
  const headers = headersOf('admin');
  for (const { content } of image.blobs) {
    const { location } = await startUpload(mirror.url, name, { headers });
    const body = content.slice(0, content.size);
    const { status } = await finish(mirror.url, location, content.digest, { headers, body });
    if (status !== 201) throw new Error(`expected 201, got ${status}`);
  }
  const [manifest] = image.manifests;
  if (manifest === undefined) throw new Error('expected a manifest');
  const type = { 'Content-Type': manifest.descriptor.mediaType };
  await send(mirror.url, 'PUT', `/v2/${name}/manifests/latest`, {
    headers: { ...headers, ...type },
    body: manifest.bytes,
  });
}

interface Row {
  readonly what: string;
  readonly method: string;
  /** NAME, DIGEST (of the manifest), BLOB, UPLOAD. */
  readonly path: string;
  readonly needs: 'pull' | 'push' | 'delete';
  readonly there: number;
  readonly missing: number;
}

const rows: readonly Row[] = [
  {
    what: 'manifest by tag',
    method: 'GET',
    path: 'manifests/latest',
    needs: 'pull',
    there: 200,
    missing: 404,
  },
  {
    what: 'HEAD of a manifest',
    method: 'HEAD',
    path: 'manifests/latest',
    needs: 'pull',
    there: 200,
    missing: 404,
  },
  {
    what: 'manifest by digest',
    method: 'GET',
    path: 'manifests/DIGEST',
    needs: 'pull',
    there: 200,
    missing: 404,
  },
  { what: 'blob', method: 'GET', path: 'blobs/BLOB', needs: 'pull', there: 200, missing: 404 },
  { what: 'HEAD of a blob', method: 'HEAD', path: 'blobs/BLOB', needs: 'pull', there: 200, missing: 404 },
  { what: 'tags', method: 'GET', path: 'tags/list', needs: 'pull', there: 200, missing: 404 },
  { what: 'referrers', method: 'GET', path: 'referrers/DIGEST', needs: 'pull', there: 200, missing: 200 },
  {
    what: 'start of an upload',
    method: 'POST',
    path: 'blobs/uploads/',
    needs: 'push',
    there: 202,
    missing: 202,
  },
  {
    what: 'state of no upload',
    method: 'GET',
    path: 'blobs/uploads/none',
    needs: 'push',
    there: 404,
    missing: 404,
  },
  {
    what: 'chunk of no upload',
    method: 'PATCH',
    path: 'blobs/uploads/none',
    needs: 'push',
    there: 404,
    missing: 404,
  },
  {
    what: 'end of no upload',
    method: 'PUT',
    path: 'blobs/uploads/none?digest=BLOB',
    needs: 'push',
    there: 404,
    missing: 404,
  },
  {
    what: 'cancel of no upload',
    method: 'DELETE',
    path: 'blobs/uploads/none',
    needs: 'push',
    there: 404,
    missing: 404,
  },
  {
    what: 'an empty manifest',
    method: 'PUT',
    path: 'manifests/bad',
    needs: 'push',
    there: 400,
    missing: 400,
  },
  {
    what: 'delete of a tag',
    method: 'DELETE',
    path: 'manifests/latest',
    needs: 'delete',
    there: 202,
    missing: 404,
  },
  {
    what: 'delete of a manifest',
    method: 'DELETE',
    path: 'manifests/DIGEST',
    needs: 'delete',
    there: 202,
    missing: 404,
  },
  {
    what: 'delete of a blob that a manifest needs',
    method: 'DELETE',
    path: 'blobs/BLOB',
    needs: 'delete',
    there: 405,
    missing: 404,
  },
];

const may: Readonly<Record<Who, readonly string[]>> = {
  anonymous: [],
  reader: ['pull'],
  writer: ['pull', 'push'],
  deleter: ['pull', 'push', 'delete'],
  admin: ['pull', 'push', 'delete'],
};

const callers: readonly Who[] = ['anonymous', ...users];
let rig: Rig;

beforeAll(() => {
  expect(rows.length * callers.length).toBe(80);
});

test('every endpoint × every caller × existing and missing', async () => {
  rig = await start();
  const { mirror, image } = rig;
  const [layer] = image.blobs;
  if (layer === undefined) throw new Error('expected a layer');
  const wrong: string[] = [];
  for (const row of rows) {
    for (const who of callers) {
      await fill(rig, 'team/there');
      const answers: string[] = [];
      for (const name of ['team/there', 'team/none']) {
        const path = row.path.replace('DIGEST', image.digest).replace('BLOB', layer.descriptor.digest);
        const { status, headers, body } = await send(mirror.url, row.method, `/v2/${name}/${path}`, {
          headers: headersOf(who),
        });
        const isAllowed = may[who].includes(row.needs);
        const expected = isAllowed
          ? name === 'team/there'
            ? row.there
            : row.missing
          : who === 'anonymous'
            ? 401
            : 403;
        if (status !== expected)
          wrong.push(
            `${who}: ${row.what} of ${name}: expected ${expected}, got ${status} ${body.toString()}`,
          );
        const challenge = headers.get('www-authenticate');
        const actions = row.needs === 'push' ? 'pull,push' : row.needs;
        const scope = `scope="repository:${name}:${actions}",error="insufficient_scope"`;
        if ((status === 401) !== (challenge?.includes(scope) ?? false))
          wrong.push(`${who}: ${row.what}: ${challenge}`);
        if (!isAllowed) answers.push(`${status} ${challenge} ${body.toString()}`.replaceAll(name, 'NAME'));
      }
      if (answers[0] !== answers[1])
        wrong.push(`${who}: ${row.what}: refusals differ: ${answers.join(' / ')}`);
    }
  }
  expect(wrong).toEqual([]);
}, 60_000);

test('ping, catalog, tokens and statistics × every caller', async () => {
  rig = await start();
  const { mirror } = rig;
  await fill(rig, 'team/there');
  const status = async (who: Who, path: string) =>
    (await send(mirror.url, 'GET', path, { headers: headersOf(who) })).status;
  for (const who of callers) {
    const isAnonymous = who === 'anonymous';
    expect(await status(who, '/v2/'), who).toBe(isAnonymous ? 401 : 200);
    expect(await status(who, '/api/v1/stats'), who).toBe(isAnonymous ? 401 : 200);
    expect(await status(who, '/token'), who).toBe(200);
    const { body } = await send(mirror.url, 'GET', '/v2/_catalog', { headers: headersOf(who) });
    expect(JSON.parse(body.toString()).repositories.includes('team/there'), who).toBe(!isAnonymous);
  }
});

test('what is mirrored: every caller whose rules allow it pulls, and no caller pushes or is asked to log in for it', async () => {
  rig = await start();
  const { mirror } = rig;
  const pull = '/v2/library/alpine/manifests/latest';
  for (const who of callers) {
    const headers = headersOf(who);
    expect((await send(mirror.url, 'GET', pull, { headers })).status, who).toBe(200);
    expect(
      (await send(mirror.url, 'GET', '/v2/library/none/manifests/latest', { headers })).status,
      who,
    ).toBe(404);
    const pushed = await send(mirror.url, 'POST', '/v2/library/alpine/blobs/uploads/', { headers });
    expect([pushed.status, pushed.headers.has('www-authenticate')], who).toEqual([403, false]);
  }
  const { token } = await askToken(mirror.url, 'hubuser', { scopes: ['repository:library/alpine:pull'] });
  const headers = { Authorization: `Bearer ${token}` };
  expect((await send(mirror.url, 'GET', pull, { headers })).status).toBe(200);
});

test('users without rules: logged-in ones pull and push what is hosted, and none deletes', async () => {
  const plain = await startLoginRig({ users: ['jo'] });
  const { url } = plain.mirror;
  plain.upstream.put('library/alpine', buildImage(), 'latest');
  const headers = { Authorization: basic('jo') };
  const status = async (method: string, path: string, sent = {}) =>
    (await send(url, method, path, { headers: sent })).status;
  expect(await status('GET', '/v2/library/alpine/manifests/latest')).toBe(200);
  expect(await status('GET', '/v2/team/app/tags/list')).toBe(401);
  expect(await status('POST', '/v2/team/app/blobs/uploads/')).toBe(401);
  expect(await status('GET', '/v2/team/app/tags/list', headers)).toBe(404);
  expect(await status('POST', '/v2/team/app/blobs/uploads/', headers)).toBe(202);
  expect(await status('DELETE', '/v2/team/app/manifests/1')).toBe(401);
  expect(await status('DELETE', '/v2/team/app/manifests/1', headers)).toBe(403);
  await expect(pushBlob(url, 'team/app', buildImage().blobs[0]?.content ?? never())).rejects.toThrow(
    'got 401',
  );
});

function never(): never {
  throw new Error('expected a blob');
}
