/** Tags, a page at a time. */
import { expect, test } from 'vitest';
import { alpine, connect, failureOf, read, sendJson, serve } from '../rig.ts';

test('a page of tags with the way to the next one', async () => {
  const server = await serve((_request, response) =>
    sendJson(response, { name: 'library/alpine', tags: ['3.19', '3.20'] }, 200, {
      link: '</v2/library/alpine/tags/list?last=3.20&n=2>; rel="next"',
    }),
  );
  const { registry, clock } = connect(server.url);
  expect(await registry.tags(alpine, { ...read, n: 2, last: '3.18' })).toEqual({
    outcome: 'passthrough',
    checkedAt: clock.now(),
    tags: ['3.19', '3.20'],
    nextQuery: 'last=3.20&n=2',
  });
  expect(server.lines).toEqual(['GET /v2/library/alpine/tags/list?n=2&last=3.18']);
});

test('the next page is asked for as the link names it', async () => {
  const server = await serve((_request, response, count) =>
    sendJson(response, { tags: [`v${count}`] }, 200, {
      link: '<https://elsewhere.example/other/path?%7Etoken=a+b%2Fc&ns=evil&bare>; rel="next"',
    }),
  );
  const { registry } = connect(server.url);
  const { nextQuery } = await registry.tags(alpine, read);
  expect(nextQuery).toBe('%7Etoken=a+b%2Fc&ns=evil&bare');
  await registry.tags(alpine, { ...read, n: 5, last: 'x', query: nextQuery ?? '' });
  expect(server.lines).toEqual([
    'GET /v2/library/alpine/tags/list',
    'GET /v2/library/alpine/tags/list?%7Etoken=a+b%2Fc&bare',
  ]);
});

test('a link to the page it came with leads nowhere', async () => {
  const server = await serve((request, response) =>
    sendJson(response, { tags: ['a'] }, 200, { link: `<${request.url}>; rel="next"` }),
  );
  const { registry } = connect(server.url);
  expect(await registry.tags(alpine, { ...read, n: 2 })).not.toHaveProperty('nextQuery');
  expect(await registry.tags(alpine, { ...read, query: 'token=x' })).not.toHaveProperty('nextQuery');
});

test('a link too long for a client to follow is a failure', async () => {
  const server = await serve((_request, response) =>
    sendJson(response, { tags: ['a'] }, 200, { link: `<?t=${'x'.repeat(4096)}>; rel="next"` }),
  );
  const failure = failureOf(connect(server.url).registry.tags(alpine, read));
  expect(await failure).toMatchObject({ failure: 'status', code: 'UNAVAILABLE' });
});

const many = Array.from({ length: 30_000 }, (_, index) => `v${index}`);

test.each([
  ['as Go writes it', JSON.stringify({ name: 'x', tags: many }), many],
  ['with spaces and fields after it', JSON.stringify({ tags: many, more: [] }, null, 1), many],
  ['with a string that looks like an end', JSON.stringify({ tags: ['a",', ...many, 'b]'] }), many],
  ['twice, of which the last counts', `{"tags":${JSON.stringify(many)},"tags":["b"]}`, ['b']],
])('a list of megabytes, %s', async (_name, body, tags) => {
  const server = await serve((_request, response) => response.end(body));
  expect((await connect(server.url).registry.tags(alpine, read)).tags).toEqual(tags);
});

test.each([
  ['no tags', { tags: null }, {}, { tags: [] }],
  ['what is no tag left out', { tags: ['a', 1, '../x', 'b'] }, {}, { tags: ['a', 'b'] }],
  [
    'pages named in another way',
    { tags: ['a', 'b'] },
    { link: '<?page=x>; rel="next"' },
    { tags: ['a', 'b'], nextQuery: 'page=x' },
  ],
])('a list with %s', async (_name, body, headers, expected) => {
  const server = await serve((_request, response) => sendJson(response, body, 200, headers));
  expect(await connect(server.url).registry.tags(alpine, read)).toMatchObject(expected);
});

test.each([
  ['a page of HTML', '<html>', 'status', 'UNAVAILABLE'],
  ['no list', '{"tags":{}}', 'status', 'UNAVAILABLE'],
])('%s instead of tags is a failure', async (_name, body, failure, code) => {
  const server = await serve((_request, response) => response.end(body));
  expect(await failureOf(connect(server.url).registry.tags(alpine, read))).toMatchObject({ failure, code });
});

test('tags of a repository that is not there', async () => {
  const server = await serve((_request, response) => sendJson(response, {}, 404));
  expect(await failureOf(connect(server.url).registry.tags(alpine, read))).toMatchObject({
    failure: 'gone',
    code: 'NAME_UNKNOWN',
  });
});
