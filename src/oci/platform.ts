/**
 * Which machine a child of an index is for (OCI image-spec "Image Index", `platform`). What else stands there is left alone.
 */
export interface Platform {
  readonly os: string;
  readonly architecture: string;
  readonly variant?: string;
  readonly osVersion?: string;
}

type JsonPlatform = Readonly<Partial<Record<'os' | 'os.version' | 'architecture' | 'variant', unknown>>>;

/** Undefined for a value that names no machine. */
export function parsePlatform(value: unknown): Platform | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const platform: JsonPlatform = value;
  const { os, architecture, variant, 'os.version': osVersion } = platform;
  if (typeof os !== 'string' || typeof architecture !== 'string') return undefined;
  return {
    os,
    architecture,
    ...(typeof variant === 'string' && { variant }),
    ...(typeof osVersion === 'string' && { osVersion }),
  };
}

/** `os/architecture[/variant]`, as `docker pull --platform` takes it. Undefined: it is none. */
export function parsePlatformText(text: string): Platform | undefined {
  const [os = '', architecture = '', variant, ...rest] = text.split('/');
  if (rest.length > 0 || ![os, architecture, variant ?? 'x'].every(part => /^[a-z0-9._-]+$/i.test(part)))
    return undefined;
  return { os, architecture, ...(variant !== undefined && { variant }) };
}

/** As `parsePlatformText` reads it. */
export function formatPlatform({ os, architecture, variant }: Platform): string {
  return [os, architecture, ...(variant === undefined ? [] : [variant])].join('/');
}

/** What is left out in `wanted` may be anything; `arm64` and `arm64/v8` are the same machine. */
export function fitsPlatform(platform: Platform, wanted: Platform): boolean {
  if (platform.os !== wanted.os || platform.architecture !== wanted.architecture) return false;
  return wanted.variant === undefined || variantOf(platform) === variantOf(wanted);
}

function variantOf({ architecture, variant }: Platform): string | undefined {
  return architecture === 'arm64' ? (variant ?? 'v8') : variant;
}
