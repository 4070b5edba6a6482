/** Names of images as people type them. */
import { describe, expect, test } from 'vitest';
import { formatImage, type ImageHosts, parseImage, parseImageOrBlob } from '../../../src/admin/image-name.ts';

const hosts: ImageHosts = {
  keys: new Map([
    ['docker.io', 'docker.io'],
    ['ghcr.io', 'ghcr.io'],
    ['localhost:5000', 'localhost:5000'],
    ['hub.lan', 'docker.io'],
    ['plain', 'plain'],
  ]),
  fallback: 'docker.io',
};
const digest = `sha256:${'0a'.repeat(32)}`;

test.each([
  ['alpine', 'docker.io/library/alpine:latest'],
  ['alpine:3.20', 'docker.io/library/alpine:3.20'],
  ['team/app', 'docker.io/team/app:latest'],
  ['docker.io/alpine', 'docker.io/library/alpine:latest'],
  ['index.docker.io/library/alpine:1', 'docker.io/library/alpine:1'],
  ['hub.lan/alpine', 'docker.io/library/alpine:latest'],
  ['ghcr.io/a/b:v1', 'ghcr.io/a/b:v1'],
  ['localhost:5000/a', 'localhost:5000/a:latest'],
  ['localhost:5000/a:5000', 'localhost:5000/a:5000'],
  ['plain/a/b', 'plain/a/b:latest'],
  ['gone.example:81/x/y:z', 'gone.example:81/x/y:z'], // not configured any more, and still held
  ['localhost/a', 'localhost/a:latest'],
])('%s is %s', (text, canonical) => {
  const image = parseImage(text, hosts);
  expect(formatImage(image)).toBe(canonical);
  expect(image.name).toBe(`${image.host}/${image.repository}`);
});

test('a digest follows the name after an @', () => {
  expect(formatImage(parseImage(`alpine@${digest}`, hosts))).toBe(`docker.io/library/alpine@${digest}`);
});

test('names without a host go to the default upstream, which needs no library/', () => {
  expect(formatImage(parseImage('a', { ...hosts, fallback: 'ghcr.io' }))).toBe('ghcr.io/a:latest');
});

test('a digest alone is a blob', () => {
  expect(parseImageOrBlob(digest, hosts)).toBe(digest);
  expect(parseImageOrBlob('alpine', hosts)).toMatchObject({ name: 'docker.io/library/alpine' });
});

describe('refused', () => {
  test.each([
    ['', 'NAME_INVALID'],
    ['Alpine', 'NAME_INVALID'],
    ['GHCR.io/a/b:v1', 'NAME_INVALID'],
    ['a/../b', 'NAME_INVALID'],
    ['../../etc/passwd', 'NAME_INVALID'],
    ['a//b', 'NAME_INVALID'],
    ['/a', 'NAME_INVALID'],
    ['ghcr.io/', 'NAME_INVALID'],
    ['https://docker.io/a', 'NAME_INVALID'],
    ['a b', 'NAME_INVALID'],
    ['a\n', 'NAME_INVALID'],
    ['a:', 'TAG_INVALID'],
    ['a:-x', 'TAG_INVALID'],
    ['a@sha256:12', 'DIGEST_INVALID'],
    ['a@', 'DIGEST_INVALID'],
  ])('%j: %s', (text, code) => {
    expect(() => parseImage(text, hosts)).toThrow(expect.objectContaining({ code }));
  });

  test.each([
    ['a tag with a digest', `a:1@${digest}`, 'NAME_INVALID'],
    ['a tag of 129 characters', `a:${'x'.repeat(129)}`, 'TAG_INVALID'],
    ['a digest in capitals', digest.toUpperCase(), 'NAME_INVALID'],
    ['a name of 401 characters', `${'a/'.repeat(200)}b`, 'NAME_INVALID'],
  ])('%s', (_what, text, code) => {
    expect(() => parseImage(text, hosts)).toThrow(expect.objectContaining({ code }));
  });
});
