/** A held blob of 103 MB over TLS to 1 and 4 curls: Cistern and distribution 3 as private registries, which it was pushed to. */
import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'vitest';
import { CertificateAuthority } from '../support/certificates.ts';
import { patternBlob } from '../support/content.ts';
import { requires } from '../support/requires.ts';
import { tempDir } from '../support/temp-dir.ts';
import { downloadByCurl } from './load.ts';
import { roundsOf, Table } from './report.ts';
import { distributionV3, startCistern, startDistributionTls } from './servers/registries.ts';
import type { MeasuredServer } from './servers/start.ts';
import { pushBlob } from './upload.ts';
import { cpuSeconds } from './usage.ts';

const bytes = 103_000_000;
const rounds = roundsOf(9);
/** Of a round, over all its clients. */
const downloads = 8;

requires('openssl', 'curl')('over TLS', () => {
  test('a hot blob', async () => {
    const blob = patternBlob('bench: a hot blob over TLS', bytes);
    const folder = await tempDir();
    await chmod(folder, 0o755);
    const authority = new CertificateAuthority(folder);
    const { cert, key } = authority.issue();
    const [certificate, keyFile, file] = ['server.pem', 'server.key', 'blob'].map(name => join(folder, name));
    if (certificate === undefined || keyFile === undefined || file === undefined) return;
    await writeFile(certificate, cert);
    await writeFile(keyFile, key);
    await writeFile(file, blob.slice(0, bytes));
    const table = new Table('A hot blob of 103 MB over TLS', { 'GB/s': 2, 'CPU s/GB': 3 });
    table.note('The client is curl, which deciphers: rates are its own, so believe the CPU of the server.');
    const servers: [string, MeasuredServer][] = [
      ['Cistern', await startCistern(undefined, { http: { tls: { certificate, key: keyFile } } })],
    ];
    if (distributionV3.missing !== undefined) table.note(distributionV3.missing);
    else servers.push(['distribution 3', await startDistributionTls(certificate, keyFile)]);
    const ca = authority.caFile;
    for (const [, { url }] of servers) await pushBlob(url, 'team/big', { digest: blob.digest, file, ca });
    for (let round = -1; round < rounds; round += 1) {
      for (const clients of [1, 4]) {
        for (const [name, { url, pids }] of servers) {
          const before = cpuSeconds(pids);
          const what = `${url}/v2/team/big/blobs/${blob.digest}`;
          const done = await downloadByCurl(what, ca, { clients, times: downloads / clients, bytes });
          if (round < 0) continue; // the first one warms up
          table.add(`${name}, ${clients} clients`, {
            'GB/s': done.gigabytes / done.seconds,
            'CPU s/GB': (cpuSeconds(pids) - before) / done.gigabytes,
          });
        }
      }
    }
    table.print();
  });
});
