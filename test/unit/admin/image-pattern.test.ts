/** Patterns of images as people type them. */
import { expect, it } from 'vitest';
import type { ImageHosts } from '../../../src/admin/image-name.ts';
import { parseImage } from '../../../src/admin/image-name.ts';
import { parseImagePattern } from '../../../src/admin/image-pattern.ts';
import { titled } from '../../support/titles.ts';

const digest = `sha256:${'ab'.repeat(32)}`;
const hosts: ImageHosts = {
  keys: new Map([
    ['docker.io', 'docker.io'],
    ['ghcr.io', 'ghcr.io'],
    ['hub.lan', 'docker.io'],
  ]),
  fallback: 'docker.io',
  own: new Set(['mirror.lan:5000', 'localhost:5000']),
};

function matches(pattern: string, name: string, tag: string | null, own: ImageHosts = hosts): boolean {
  const parsed = parseImagePattern(pattern, own);
  return parsed.matchesRepository(name) && parsed.matches({ tag, digest });
}

it.each(
  titled([
    ['busybox', 'docker.io/library/busybox', '1.36'],
    ['busybox', 'docker.io/library/busybox', null],
    ['busybox:*', 'docker.io/library/busybox', 'latest'],
    ['busybox:1.*', 'docker.io/library/busybox', '1.36'],
    ['busybox:1.36', 'docker.io/library/busybox', '1.36'],
    ['busy*', 'docker.io/library/busybox', '1'],
    ['library/*', 'docker.io/library/busybox', '1'],
    ['team/**', 'docker.io/team/a/b', '1'],
    ['index.docker.io/busybox', 'docker.io/library/busybox', '1'],
    ['hub.lan/busybox:*', 'docker.io/library/busybox', '1'],
    ['docker.io/**', 'docker.io/library/busybox', '1'],
    ['docker.io/library/busybox', 'docker.io/library/busybox', '1'],
    ['ghcr.io/**', 'ghcr.io/owner/app', 'v1'],
    ['ghcr.io/*/app:v*', 'ghcr.io/owner/app', 'v1'],
    ['gone.lan:5000/app', 'gone.lan:5000/app', 'v1'],
    ['**', 'gone.lan:5000/app', null],
    ['**:v1', 'ghcr.io/owner/app', 'v1'],
    ['*/owner/app', 'ghcr.io/owner/app', 'v1'],
    ['**/app', 'ghcr.io/owner/app', 'v1'],
    [`busybox@${digest}`, 'docker.io/library/busybox', '1.36'],
    ['busybox@sha256:abab*', 'docker.io/library/busybox', null],
    ['mirror.lan:5000/ghcr.io/owner/app:v1', 'ghcr.io/owner/app', 'v1'],
    ['localhost:5000/busybox', 'docker.io/library/busybox', '1'],
  ]),
)('matches: %s', (_title, [pattern, name, tag]) => {
  expect(matches(pattern, name, tag)).toBe(true);
});

it.each([
  ['busybox', 'ghcr.io/library/busybox', '1'],
  ['busybox', 'docker.io/busybox/busybox', '1'],
  ['busybox:*', 'docker.io/library/busybox', null],
  ['busybox:1.3', 'docker.io/library/busybox', '1.36'],
  ['library/*', 'docker.io/library/a/b', '1'],
  ['busybox@sha256:cd*', 'docker.io/library/busybox', '1'],
])('%s does not match %s, tag %s', (pattern, name, tag) => {
  expect(matches(pattern, name, tag)).toBe(false);
});

it('reads names of another default upstream', () => {
  expect(matches('app', 'ghcr.io/app', 'v1', { ...hosts, fallback: 'ghcr.io' })).toBe(true);
});

it.each(['', 'Busybox', 'a b', 'busybox:', 'busybox@', '/x', 'x/', 'https://x'])('refuses %j', text => {
  expect(() => parseImagePattern(text, hosts)).toThrow(/not an image or a pattern of images/);
});

it('a name of an image with the host of this mirror in front is that image, a pin of it too', () => {
  expect(parseImage('mirror.lan:5000/ghcr.io/owner/app:v1', hosts).name).toBe('ghcr.io/owner/app');
  expect(parseImage('localhost:5000/busybox', hosts).name).toBe('docker.io/library/busybox');
  const keys = new Map([...hosts.keys, ['localhost:5000', 'localhost:5000']]);
  expect(parseImage('localhost:5000/busybox', { ...hosts, keys }).name).toBe('localhost:5000/busybox');
});
