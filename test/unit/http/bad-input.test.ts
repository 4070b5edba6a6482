import { describe, expect, it } from 'vitest';
import { digestOf } from '../../../src/oci/digest.ts';
import { get, request } from '../../support/client.ts';
import { sendAfterAnswer } from '../../support/lingering-client.ts';
import { serveApp } from '../../support/served-app.ts';
import { titled } from '../../support/titles.ts';

const digest = digestOf(Buffer.from('x'));
const long = 'a'.repeat(300);

describe('bad input', () => {
  it.each(
    titled([
      ['/v2/Library/x/manifests/1', 400, 'NAME_INVALID'],
      ['/v2/library//x/manifests/1', 400, 'NAME_INVALID'],
      ['/v2/../x/manifests/1', 400, 'NAME_INVALID'],
      ['/v2/a/../../etc/passwd/manifests/1', 400, 'NAME_INVALID'],
      ['/v2/..%2f..%2fetc/manifests/1', 400, 'NAME_INVALID'],
      ['/v2/library%2Fx/manifests/1', 400, 'NAME_INVALID'],
      ['/v2/%2e%2e/manifests/1', 400, 'NAME_INVALID'],
      ['/v2/a/%00/manifests/1', 400, 'NAME_INVALID'],
      ['/v2/-a/manifests/1', 400, 'NAME_INVALID'],
      ['/v2/a\\b/manifests/1', 400, 'NAME_INVALID'],
      [`/v2/${long}/manifests/1`, 400, 'NAME_INVALID'],
      [`/v2/a/manifests/${long}`, 400, 'TAG_INVALID'],
      ['/v2/a/manifests/.hidden', 400, 'TAG_INVALID'],
      ['/v2/a/manifests/sha256:baddigeststring', 400, 'DIGEST_INVALID'],
      ['/v2/a/blobs/sha256:123', 400, 'DIGEST_INVALID'],
      [`/v2/a/blobs/md5~:${'a'.repeat(32)}`, 400, 'DIGEST_INVALID'],
      [`/v2/a/blobs/${digest.toUpperCase()}`, 400, 'DIGEST_INVALID'],
      ['/v2/a/blobs/../../../etc/passwd', 400, 'NAME_INVALID'],
      ['/v2/a/referrers/latest', 400, 'DIGEST_INVALID'],
      ['/v2/a/manifests/1?ns=a&ns=b', 400, 'NAME_INVALID'],
      ['/v2/a/manifests/1?ns=http://10.0.0.1', 404, 'NAME_UNKNOWN'],
      ['/v2/a/manifests/1?ns=%0d%0aX-Evil:1', 404, 'NAME_UNKNOWN'],
      ['/v2/a/manifests/1?ns=..%2F..', 404, 'NAME_UNKNOWN'],
      ['/v2/nothing', 404, 'NAME_UNKNOWN'],
      ['/v2/a/tags/other', 404, 'NAME_UNKNOWN'],
      ['/v2/_catalog/x', 404, 'NAME_UNKNOWN'],
      ['/v2/a/blobs/uploads/', 405, 'UNSUPPORTED'],
      ['/nothing', 404, 'UNSUPPORTED'],
      ['//v2/', 404, 'UNSUPPORTED'],
      ['/%76%32/', 404, 'UNSUPPORTED'],
      ['/healthz%2f..', 404, 'UNSUPPORTED'],
      ['/metrics/../v2/', 404, 'UNSUPPORTED'],
      ['/%', 404, 'UNSUPPORTED'],
    ]),
  )('GET %s', async (_title, [path, status, code]) => {
    const { url, hub, ghcr, lines } = await serveApp();
    const answer = await get(url, path);
    expect(answer.status).toBe(status);
    expect(answer.headers.get('content-type')).toBe('application/json');
    expect(JSON.parse(answer.body.toString()).errors[0].code).toBe(code);
    expect(answer.headers.get('cache-control')).toBe('no-store');
    expect([...hub.asked, ...ghcr.asked]).toEqual([]);
    expect(lines.filter(({ level }) => level === 'error')).toEqual([]);
  });

  it.each(['POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])(
    '%s is 405 with a sentence and Allow',
    async method => {
      const { url } = await serveApp();
      const answer = await get(url, '/v2/a/manifests/1', { method });
      expect([answer.status, answer.headers.get('allow')]).toEqual([405, 'GET, HEAD']);
      expect(answer.headers.get('docker-distribution-api-version')).toBe('registry/2.0');
      expect(JSON.parse(answer.body.toString()).errors[0]).toMatchObject({
        code: 'UNSUPPORTED',
        message: expect.stringContaining('only mirrors'),
      });
      const ops = await get(url, '/healthz', { method });
      expect([ops.status, ops.headers.get('allow')]).toEqual([405, 'GET, HEAD']);
    },
  );

  it('answers a push without reading its body, and closes', async () => {
    const { url } = await serveApp();
    const raw = [
      'PATCH /v2/a/blobs/uploads/1 HTTP/1.1',
      'Host: x',
      'Content-Length: 1000000000',
      '',
      'the first bytes of many',
    ].join('\r\n');
    const answer = await request(url, { raw }).done;
    expect([answer.status, answer.end, answer.headers.get('connection')]).toEqual([405, 'complete', 'close']);
    expect(answer.headers.get('allow')).toBe('');
  });

  it('delivers the refusal to a client that goes on sending', async () => {
    const { url } = await serveApp();
    const body = Buffer.alloc(8 * 1024 * 1024);
    const answer = await request(url, { method: 'PUT', path: '/v2/a/manifests/1', body }).done;
    expect([answer.status, answer.end]).toEqual([405, 'complete']);
  });

  it('refuses with a FIN, not a reset, although the client goes on sending', async () => {
    const { url } = await serveApp();
    const start = 'PUT /v2/a/manifests/1 HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n';
    const { ending, text } = await sendAfterAnswer(url, start, 'a'.repeat(500_000), () =>
      get(url, '/healthz'),
    );
    expect([ending, text.slice(0, 13)]).toEqual(['fin', 'HTTP/1.1 405 ']);
  });

  it('does not invite the body of a push that waits for 100 Continue', async () => {
    const { url } = await serveApp();
    const raw =
      'PUT /v2/a/manifests/1 HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 10\r\n\r\n';
    const answer = await request(url, { raw }).done;
    expect(answer.status).toBe(405);
  });

  it('answers an HTTP/1.1 request without Host with 400, one of HTTP/1.0 with what it asked for', async () => {
    const { url } = await serveApp();
    const modern = await get(url, '/v2/', { headers: { Host: undefined } });
    expect([modern.status, JSON.parse(modern.body.toString()).errors[0].code]).toEqual([400, 'UNSUPPORTED']);
    const old = await request(url, { raw: 'GET /v2/ HTTP/1.0\r\n\r\n' }).done;
    expect([old.status, old.body.toString()]).toEqual([200, '{}']);
  });

  it('understands an absolute target', async () => {
    const { url, hub } = await serveApp();
    expect((await get(url, 'http://other.example/v2/')).status).toBe(200);
    expect((await get(url, 'http://other.example/healthz')).status).toBe(200);
    expect(hub.asked).toEqual([]);
  });

  it.each(['*', 'nothing', '?', '#'])('survives the target %s', async path => {
    const { url } = await serveApp();
    const answer = await get(url, path, { method: path === '*' ? 'OPTIONS' : 'GET' });
    expect([400, 404]).toContain(answer.status);
    expect((await get(url, '/healthz')).status).toBe(200);
  });
});
