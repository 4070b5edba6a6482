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
