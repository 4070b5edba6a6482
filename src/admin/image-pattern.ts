/**
 * Patterns of images as people type them for `ls`: `busybox`, `busybox:*`, `ghcr.io/**`, `node:20-*`. Names are read as clients
 * read them: without a host they belong to the default upstream, and one segment of Docker Hub gets `library/`.
 */
import { excerpt, RegistryError } from '../oci/error.ts';
import { allowRepositories, canonicalHost, HUB, isHostLike } from '../oci/name.ts';
import type { ListedImage } from './admin.ts';
import { hostAndRest, type ImageHosts } from './image-name.ts';

export interface ImagePattern {
  /** `name`: canonical. */
  matchesRepository(name: string): boolean;
  matches(image: Pick<ListedImage, 'tag' | 'digest'>): boolean;
}

const namePattern = /^[a-z0-9*][a-z0-9._:*-]*(?:\/[a-z0-9._*-]+)*$/;
const tagPattern = /^[\w.*-]{1,128}$/;
const digestPattern = /^[a-z0-9*+._-]+:?[a-fA-F0-9*]*$/;

/** Without a tag all of a repository is meant. Errors: NAME_INVALID. */
export function parseImagePattern(text: string, hosts: ImageHosts): ImagePattern {
  const [withTag = '', digest] = split(text, text.lastIndexOf('@'));
  const [written, tag] = split(withTag, withTag.indexOf(':', withTag.lastIndexOf('/') + 1));
  const isValid =
    namePattern.test(written ?? '') &&
    (tag === undefined || tagPattern.test(tag)) &&
    (digest === undefined || digestPattern.test(digest));
  if (written === undefined || !isValid) {
    throw new RegistryError('NAME_INVALID', {
      message: `not an image or a pattern of images, such as busybox, busybox:* or ghcr.io/**: ${excerpt(text)}`,
    });
  }
  const matchesTag = tag === undefined ? undefined : allowRepositories([tag], []);
  const matchesDigest = digest === undefined ? undefined : allowRepositories([digest], []);
  return {
    matchesRepository: allowRepositories([canonicalPattern(written, hosts)], []),
    matches: image =>
      (matchesTag === undefined || (image.tag !== null && matchesTag(image.tag))) &&
      (matchesDigest === undefined || matchesDigest(image.digest)),
  };
}

/** `*` or `**` as first segment stand for any host. */
function canonicalPattern(written: string, hosts: ImageHosts): string {
  const { first, rest } = hostAndRest(written, hosts);
  if (written === '**' || first === '*' || first === '**') return written;
  const key = hosts.keys.get(canonicalHost(first)) ?? (isHostLike(first) ? canonicalHost(first) : undefined);
  const host = key ?? hosts.fallback;
  const name = key === undefined ? (first === '' ? rest : `${first}/${rest}`) : rest;
  if (host === undefined) return name; // no upstream: hosted names alone
  return `${host}/${host === HUB && !name.includes('/') && !name.includes('**') ? `library/${name}` : name}`;
}

/** What stands before `at`, and after it if there is such a place. */
function split(text: string, at: number): readonly [string, string | undefined] {
  return at === -1 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)];
}
