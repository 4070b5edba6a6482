/**
 * A mirror with users and a private registry behind its API, and a browser's side of it: cookies, `Origin`, answers that have the shape of
 * the schema. `reader` may pull all of Docker Hub, `writer` pushes to `team/**`, `admin` may do anything; anonymous callers pull what is
 * public. The upstream has `library/open` for all and `library/closed` for the mirror's account alone.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { hash } from 'bcrypt';
import { expect } from 'vitest';
import type { z } from 'zod';
import { type JobAnswer, jobAnswer } from '../../src/http/api/schema/actions.ts';
import { type RouteName, routes } from '../../src/http/api/schema/routes.ts';
import { type CallResult, get, request } from './client.ts';
import { type BuiltImage, buildImage } from './images.ts';
import { startTestMirror, type TestMirror, type TestMirrorOptions } from './mirror.ts';
import { tempDir } from './temp-dir.ts';
import { send } from './upload-client.ts';
import { type FakeUpstream, startFakeUpstream } from './upstream.ts';
import { basic } from './users.ts';

export const users = ['reader', 'writer', 'admin'] as const;
export type User = (typeof users)[number];

export const accountPassword = 'planted-upstream-password';
export const openImage = buildImage({ layers: ['open layer'] });
export const closedImage = buildImage({ layers: ['closed layer'] });
export const pushedImage = buildImage({ layers: ['pushed layer'] });

type Answer<Name extends RouteName> = (typeof routes)[Name] extends { readonly answer: infer Schema }
  ? Schema extends z.ZodType
    ? z.infer<Schema>
    : never
  : never;

export interface ApiCall {
  readonly user?: User | undefined;
  readonly body?: object | string;
  /** `undefined` leaves out what a page of this registry sends. */
  readonly headers?: Readonly<Record<string, string | undefined>>;
}

export class ApiRig {
  readonly upstream: FakeUpstream;
  readonly mirror: TestMirror;

  constructor(upstream: FakeUpstream, mirror: TestMirror) {
    this.upstream = upstream;
    this.mirror = mirror;
  }

  /** Below `/api/v1/`; as a page of this registry sends it. */
  call(method: string, path: string, { user, body, headers }: ApiCall = {}): Promise<CallResult> {
    const text = typeof body === 'object' ? JSON.stringify(body) : body;
    return request(this.mirror.url, {
      method,
      path: `/api/v1/${path}`,
      headers: {
        Origin: this.mirror.url,
        ...(user !== undefined && { Authorization: basic(user) }),
        ...(text !== undefined && { 'Content-Type': 'application/json', 'Content-Length': `${text.length}` }),
        ...headers,
      },
      ...(text !== undefined && { body: text }),
    }).done;
  }

  /** The answer has the shape that the schema of its route says, and nothing beside it. */
  async read<Name extends RouteName>(name: Name, query = '', user?: User): Promise<Answer<Name>> {
    const { status, body } = await this.call('GET', `${routes[name].path}${query}`, { user });
    expect([name, status, status === 200 ? '' : body.toString()]).toEqual([name, 200, '']);
    return shaped(name, body.toString());
  }

  /** Begins an action as that user and waits for its end. */
  async act(action: string, body: object, user: User = 'admin'): Promise<JobAnswer> {
    const begun = await this.call('POST', `actions/${action}`, { user, body });
    expect([begun.status, begun.body.toString()]).toEqual([202, expect.stringContaining('job')]);
    const { job } = shaped('action', begun.body.toString());
    const ended = async () => (await this.#job(job, user)).endedAt;
    await expect.poll(ended, { timeout: 5000 }).not.toBeNull();
    return this.#job(job, user);
  }

  /** As a client does: the manifest and all blobs. */
  async pull(path: string, image: BuiltImage, user?: User): Promise<void> {
    const headers = user === undefined ? {} : { Authorization: basic(user) };
    const [name, reference = 'latest'] = path.split('@');
    for (const manifest of [reference, ...image.manifests.map(({ descriptor }) => descriptor.digest)])
      expect((await get(this.mirror.url, `/v2/${name}/manifests/${manifest}`, { headers })).status).toBe(200);
    for (const { descriptor } of image.blobs)
      await get(this.mirror.url, `/v2/${name}/blobs/${descriptor.digest}`, { headers, keep: false });
  }

  async push(name: string, image: BuiltImage, tag: string, user: User = 'writer'): Promise<void> {
    const headers = { Authorization: basic(user) };
    const { url } = this.mirror;
    for (const { content, descriptor } of image.blobs) {
      const body = content.slice(0, content.size);
      const path = `/v2/${name}/blobs/uploads/?digest=${descriptor.digest}`;
      expect((await send(url, 'POST', path, { headers, body })).status).toBe(201);
    }
    for (const [at, { descriptor, bytes }] of image.manifests.entries()) {
      const isRoot = at === image.manifests.length - 1;
      const path = `/v2/${name}/manifests/${isRoot ? tag : descriptor.digest}`;
      const type = { 'Content-Type': descriptor.mediaType };
      expect((await send(url, 'PUT', path, { headers: { ...headers, ...type }, body: bytes })).status).toBe(
        201,
      );
    }
  }

  async #job(id: string, user: User): Promise<JobAnswer> {
    const { body } = await this.call('GET', `jobs/${id}`, { user });
    return jobAnswer.parse(JSON.parse(body.toString()));
  }
}

function shaped<Name extends RouteName>(name: Name, text: string): Answer<Name> {
  const route: (typeof routes)[RouteName] = routes[name];
  const value: unknown = JSON.parse(text);
  if (!('answer' in route)) throw new Error(`${name} has no answer`);
  const parsed = route.answer.parse(value);
  expect(parsed).toEqual(value); // a field that the schema lacks would be left out
  return parsed as Answer<Name>;
}

/** `config`: sections over those of the rig. */
export async function startApiRig(options: TestMirrorOptions = {}): Promise<ApiRig> {
  const upstream = await startFakeUpstream({
    auth: {
      kind: 'token',
      anonymous: ['library/open'],
      accounts: { u: { password: accountPassword, repositories: ['library/open', 'library/closed'] } },
    },
  });
  upstream.put('library/open', openImage, 'latest');
  upstream.put('library/closed', closedImage, 'latest');
  const htpasswd = join(await tempDir(), 'htpasswd');
  const lines = await Promise.all(users.map(async name => `${name}:${await hash(`${name}'s`, 4)}`));
  await writeFile(htpasswd, `${lines.join('\n')}\n`);
  const everyone = { repositories: ['docker.io/library/open'], users: ['anonymous'], actions: ['pull'] };
  const mirror = await startTestMirror({
    upstream,
    hub: { username: 'u', password: accountPassword },
    ...options,
    config: {
      hosted: { repositories: ['team/**'] },
      access: {
        htpasswd,
        rules: [
          { repositories: ['**'], users: ['admin'], actions: ['pull', 'push', 'delete', 'admin'] },
          { repositories: ['docker.io/**'], users: ['reader'], actions: ['pull'] },
          { repositories: ['team/**'], users: ['writer'], actions: ['pull', 'push'] },
          everyone,
        ],
      },
      ...options.config,
    },
  });
  return new ApiRig(upstream, mirror);
}
