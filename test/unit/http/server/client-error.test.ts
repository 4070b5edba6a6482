import { describe, expect, it } from 'vitest';
import { get, request } from '../../../support/client.ts';
import { sendAfterAnswer } from '../../../support/lingering-client.ts';
import { serveApp } from '../../../support/served-app.ts';

describe('what the parser refuses', () => {
  it.each([
    ['a request line that is too long', `GET /v2/${'a'.repeat(20_000)} HTTP/1.1\r\nHost: x\r\n\r\n`],
    ['headers that are too long', `GET /v2/ HTTP/1.1\r\nHost: x\r\nX: ${'a'.repeat(20_000)}\r\n\r\n`],
    ['a request line without an end', `GET /v2/${'a'.repeat(2_000_000)}`],
  ])('%s is 431 in JSON', async (_, raw) => {
    const { url, refused } = await serveApp();
    const answer = await request(url, { raw }).done;
    expect([answer.status, answer.end]).toEqual([431, 'complete']);
    expect(answer.headers.get('content-type')).toBe('application/json');
    expect(answer.headers.get('docker-distribution-api-version')).toBe('registry/2.0');
    expect(JSON.parse(answer.body.toString()).errors[0].code).toBe('UNSUPPORTED');
    expect(refused).toEqual([431]);
  });

  it.each([
    ['no HTTP at all', 'hello\r\n\r\n'],
    ['a broken header', 'GET /v2/ HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n'],
    [
      'two framings at once',
      'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    ],
  ])('%s is 400 in JSON', async (_, raw) => {
    const { url } = await serveApp();
    const answer = await request(url, { raw }).done;
    expect([answer.status, answer.end]).toEqual([400, 'complete']);
    expect(JSON.parse(answer.body.toString()).errors[0].code).toBe('UNSUPPORTED');
  });

  it('is answered with a FIN, not a reset, although the client goes on sending', async () => {
    const { url, refused } = await serveApp();
    const start = `GET /v2/${'a'.repeat(20_000)}`;
    const { ending, text } = await sendAfterAnswer(url, start, 'a'.repeat(100_000), () =>
      get(url, '/healthz'),
    );
    expect(ending).toBe('fin');
    expect(text).toMatch(/^HTTP\/1\.1 431 /);
    expect(refused).toEqual([431]);
  });

  it('a TLS hello gets a bare 400, at once', async () => {
    const { url } = await serveApp();
    const hello = Buffer.from('16030100c8010000c403037a7a7a7a', 'hex');
    const answer = await request(url, { raw: Buffer.concat([hello, Buffer.alloc(200, 1)]) }).done;
    expect([answer.status, answer.bytes]).toEqual([400, 0]);
  });

  it('headers that never come are given up with 408', async () => {
    const { url, refused } = await serveApp({ headersTimeoutMs: 1, checkIntervalMs: 5 });
    const answer = await request(url, { raw: 'GET /v2/ HTTP/1.1\r\nHost: x\r\n' }).done;
    expect([answer.status, refused]).toEqual([408, [408]]);
  });

  it('does no harm to others', async () => {
    const { url, lines } = await serveApp();
    const broken = request(url, { raw: 'GET /v2/ HT' });
    broken.abort();
    expect((await get(url, '/v2/')).status).toBe(200);
    expect(lines.filter(({ level }) => level === 'error' || level === 'warn')).toEqual([]);
  });

  it('behind a good request does not spoil the answer under way', async () => {
    const { url, hub } = await serveApp();
    const digest = hub.addBlob(Buffer.alloc(1000));
    const raw = `GET /v2/a/b/blobs/${digest} HTTP/1.1\r\nHost: x\r\n\r\nhello there\r\n\r\n`;
    const answer = await request(url, { raw }).done;
    expect(answer.body.includes('HTTP/1.1 400')).toBe(false);
    expect(answer.surplusBytes).toBe(0);
  });
});
