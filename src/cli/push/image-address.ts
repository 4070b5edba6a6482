/** IMAGE of `cistern push`: a registry, a repository in it, and the tag or digest that is pushed. */
import { excerpt, RegistryError } from '../../oci/error.ts';
import {
  canonicalHost,
  HUB,
  isHostLike,
  isRawName,
  parseReference,
  parseRepository,
  type Reference,
  type Repository,
  withLibrary,
} from '../../oci/name.ts';

export interface ImageAddress {
  /** As the user wrote it, for messages: `registry.lan:5000/team/app`. */
  readonly name: string;
  /** Without a path. */
  readonly registry: URL;
  readonly repository: Repository;
  readonly reference: Reference;
}

const hubRegistry = 'registry-1.docker.io';

/**
 * `HOST[:PORT]/REPOSITORY[:TAG|@DIGEST]`. Plain HTTP on this machine itself, and where it is asked for; HTTPS elsewhere. Errors:
 * NAME_INVALID, TAG_INVALID, DIGEST_INVALID.
 */
export function parseImageAddress(image: string, isPlain: boolean): ImageAddress {
  const slash = image.indexOf('/');
  const host = image.slice(0, Math.max(slash, 0));
  if (!isHostLike(host)) throw invalid('a registry first, such as registry.lan:5000/team/app:1', image);
  const [, path = '', reference = 'latest'] =
    /^([^:@]*)(?::(?=[^@]*$)|@|$)(.*)$/s.exec(image.slice(slash + 1)) ?? [];
  const name = `${host}/${path}`;
  if (!isRawName(name)) throw invalid('HOST[:PORT]/REPOSITORY[:TAG|@DIGEST]', image);
  const isHub = canonicalHost(host) === HUB;
  const repository = parseRepository(path);
  const scheme = isPlain || isLoopback(host) ? 'http' : 'https';
  return {
    name,
    registry: new URL(`${scheme}://${isHub ? hubRegistry : host}`),
    repository: isHub ? withLibrary(repository) : repository,
    reference: parseReference(reference === '' ? 'latest' : reference),
  };
}

function isLoopback(host: string): boolean {
  return /^(?:localhost|127(?:\.\d{1,3}){3})(?::\d+)?$/.test(host);
}

function invalid(expected: string, got: string): RegistryError {
  return new RegistryError('NAME_INVALID', { message: `expected ${expected}, got ${excerpt(got)}` });
}
