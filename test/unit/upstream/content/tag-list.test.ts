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
    next: { last: '3.20', n: 2 },
  });
  expect(server.lines).toEqual(['GET /v2/library/alpine/tags/list?n=2&last=3.18']);
});

test.each([
  ['no tags', { tags: null }, {}, { tags: [] }],
  ['what is no tag left out', { tags: ['a', 1, '../x', 'b'] }, {}, { tags: ['a', 'b'] }],
  [
    'pages named in another way',
    { tags: ['a', 'b'] },
    { link: '<?page=x>; rel="next"' },
    { tags: ['a', 'b'], next: { last: 'b' } },
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
