/** Platforms as the command line takes them, and which machines they mean. */
import { expect, test } from 'vitest';
import { fitsPlatform, parsePlatformText } from '../../../src/oci/platform.ts';

test('os/architecture[/variant] is a platform, anything else is none', () => {
  expect(parsePlatformText('linux/amd64')).toEqual({ os: 'linux', architecture: 'amd64' });
  expect(parsePlatformText('linux/arm/v7')).toEqual({ os: 'linux', architecture: 'arm', variant: 'v7' });
  for (const text of ['', 'linux', 'linux/', '/amd64', 'linux/arm/', 'linux/arm/v7/x', 'linux /amd64', 'all'])
    expect([text, parsePlatformText(text)]).toEqual([text, undefined]);
});

test.each([
  ['linux/arm64', 'linux/arm64/v8', true],
  ['linux/arm64/v8', 'linux/arm64', true],
  ['linux/arm64/v8', 'linux/arm64/v9', false],
  ['linux/arm', 'linux/arm/v6', true],
  ['linux/arm/v7', 'linux/arm/v6', false],
  ['linux/arm/v7', 'linux/arm', false],
  ['linux/amd64', 'windows/amd64', false],
  ['linux/amd64', 'unknown/unknown', false],
])('%s asked for, %s in the index: %s', (asked, found, fits) => {
  const [wanted, platform] = [parsePlatformText(asked), parsePlatformText(found)];
  expect(wanted && platform && fitsPlatform(platform, wanted)).toBe(fits);
});
