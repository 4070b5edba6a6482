/** Lists of odd upstreams, through the mirror: endless pages, opaque links, hundreds of thousands of tags. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { parseNextLink } from '../../src/oci/header-fields.ts';
import { get } from '../support/client.ts';
import { startTestMirror } from '../support/mirror.ts';

type Handler = (
  url: URL,
  request: IncomingMessage,
) => { readonly tags: readonly string[]; readonly link?: string };

/** A registry that has nothing but `tags/list`. */
async function serveTags(handler: Handler) {
  const asked: string[] = [];
  const server = createServer((request: IncomingMessage, response: ServerResponse) => {
    asked.push(request.url ?? '');
    const { tags, link } = handler(new URL(request.url ?? '', 'http://upstream'), request);
    const body = JSON.stringify({ name: 'library/app', tags });
    response.writeHead(200, { 'content-type': 'application/json', ...(link && { link }) }).end(body);
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  return { asked, mirror: await startTestMirror({ upstream: { url: `http://127.0.0.1:${port}` } }) };
}

/** Follows `Link` as crane, oras and skopeo do, at most 100 times. */
async function walk(url: string, path: string): Promise<string[][]> {
  const pages: string[][] = [];
  for (let next: string | undefined = path; next !== undefined && pages.length < 100; ) {
    const { body, headers, status } = await get(url, next);
    expect(status).toBe(200);
    pages.push(JSON.parse(body.toString()).tags);
    next = parseNextLink(headers.get('link'));
  }
  return pages;
}

const path = '/v2/library/app/tags/list';

test('a registry whose every page leads to the same page: a client is at the end after one', async () => {
  const { asked, mirror } = await serveTags(() => ({
    tags: ['a', 'b'],
    link: '</v2/library/app/tags/list?last=b&n=1000>; rel="next"',
  }));
  expect(await walk(mirror.url, path)).toEqual([['a', 'b']]);
  expect(asked).toEqual([`${path}?n=1000`, `${path}?last=b&n=1000`]);
});

test('one that begins again under a new token each time', async () => {
  let count = 0;
  const { asked, mirror } = await serveTags(() => {
    count += 1;
    return { tags: [`v${count % 3}`], link: `<?next_page=t${count}>; rel="next"` };
  });
  expect(await walk(mirror.url, path)).toEqual([['v0', 'v1', 'v2']]);
  expect(asked).toEqual([`${path}?n=1000`, ...['t1', 't2', 't3'].map(token => `${path}?next_page=${token}`)]);
});

test('pages with opaque tokens are followed, and handed on when there are too many, to their end', async () => {
  const { asked, mirror } = await serveTags(url => {
    const page = Number(url.searchParams.get('next/page')?.slice(2) ?? 1);
    return { tags: [`v${page}`], ...(page < 30 && { link: `<?next%2Fpage=p%3D${page + 1}>; rel="next"` }) };
  });
  const pages = await walk(mirror.url, `${path}?ns=docker.io`);
  expect(pages).toEqual(Array.from({ length: 30 }, (_, index) => [`v${index + 1}`]));
  expect(asked).toHaveLength(20 + 30);
  expect(asked.at(-1)).toBe(`${path}?next%2Fpage=p%3D30`);
});

test('one that sticks at a late page of a long list: a client comes to an end there', async () => {
  const { mirror } = await serveTags(url => {
    const page = Math.min(25, Number(url.searchParams.get('page') ?? 1));
    return {
      tags: [`v${page}`],
      link: `<?page=${Number(url.searchParams.get('page') ?? 1) + 1}>; rel="next"`,
    };
  });
  const pages = await walk(mirror.url, path);
  expect(pages.at(-1)).toEqual(['v25']);
  expect(pages.length).toBeLessThan(30);
});

test('400,000 tags: asked for once, whatever no-cache says', async () => {
  const tags = Array.from({ length: 400_000 }, (_, index) => `v1.${index % 997}.${index}-Build`);
  const body = JSON.stringify({ name: 'library/app', tags });
  const { asked, mirror } = await serveTags(() => ({ tags }));
  const storm = { headers: { 'Cache-Control': 'no-cache' }, keep: false };
  const first = await get(mirror.url, path, storm);
  expect(first).toMatchObject({ status: 200, bytes: body.length });
  const all = await Promise.all(Array.from({ length: 10 }, () => get(mirror.url, `${path}?n=100`, storm)));
  expect(all.map(({ status }) => status)).toEqual(Array(10).fill(200));
  expect(asked).toEqual([`${path}?n=1000`]);
});
