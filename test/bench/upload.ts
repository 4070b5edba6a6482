/** A push of one blob by curl: a session, and one PUT with the whole body, whose end is the answer. */
import { commandOutput } from '../support/real/command.ts';

/** `file` holds the bytes; `ca`: PEM file for https. Errors: an answer that is no 201. */
export async function pushBlob(
  url: string,
  repository: string,
  { digest, file, ca }: { readonly digest: string; readonly file: string; readonly ca?: string },
): Promise<void> {
  const trust = ca === undefined ? [] : ['--cacert', ca];
  const start = ['-s', '-X', 'POST', '-o', '/dev/null', '-w', '%header{location}'];
  const location = await commandOutput([
    'curl',
    ...trust,
    ...start,
    `${url}/v2/${repository}/blobs/uploads/`,
  ]);
  const target = new URL(location.trim(), url);
  target.searchParams.set('digest', digest);
  const put = ['-s', '-o', '/dev/null', '-w', '%{http_code}', '-H', 'Content-Type: application/octet-stream'];
  const status = await commandOutput(['curl', ...trust, ...put, '-T', file, target.href], {
    timeoutMs: 300_000,
  });
  if (status.trim() !== '201') throw new Error(`the push of ${digest} was answered with ${status}`);
}
