/** NO_PROXY as Go's clients read it. */
import { describe, expect, test } from 'vitest';
import { parseBypass } from '../../../../src/upstream/transport/proxy.ts';

const matches = (entry: string, url: string): boolean => parseBypass([entry])(new URL(url));

describe('an entry', () => {
  test.each([
    ['*', 'https://anything.example:1'],
    ['example.org', 'https://example.org'],
    ['example.org', 'https://a.b.example.org'],
    ['Example.ORG', 'https://example.org'],
    ['example.org.', 'https://example.org'],
    ['.example.org', 'https://a.example.org'],
    ['*.example.org', 'https://a.example.org'],
    ['localhost', 'http://x.localhost'],
    ['example.org:443', 'https://example.org'],
    ['example.org:80', 'http://example.org'],
    ['example.org:5000', 'http://a.example.org:5000'],
    ['10.1.2.3', 'http://10.1.2.3:5000'],
    ['10.1.2.3:5000', 'http://10.1.2.3:5000'],
    ['10.0.0.0/8', 'https://10.255.0.1'],
    ['fd00::/8', 'https://[fd12::1]:5000'],
    ['fd00::1', 'https://[fd00:0:0::1]'],
    ['[fd00::1]:5000', 'https://[fd00::1]:5000'],
    [' example.org ', 'https://example.org'],
  ])('%j matches %s', (entry, url) => {
    expect(matches(entry, url)).toBe(true);
  });

  test.each([
    ['', 'https://example.org'],
    ['.', 'https://example.org'],
    ['ample.org', 'https://example.org'],
    ['.example.org', 'https://example.org'],
    ['*.example.org', 'https://example.org'],
    ['example.org:443', 'https://example.org:5000'],
    ['example.org:443', 'http://example.org'],
    ['10.1.2.3:80', 'http://10.1.2.3:5000'],
    ['10.0.0.0/8', 'https://11.0.0.1'],
    ['10.0.0.0/8', 'https://fd00.example'],
    ['10.0.0.0/33', 'https://10.0.0.1'],
    ['10.0.0.0/', 'https://10.0.0.1'],
    ['0.0.1', 'https://10.0.0.1'],
    ['.1', 'https://10.0.0.1'],
    ['fd00::1', 'https://[fd00::2]'],
  ])('%j does not match %s', (entry, url) => {
    expect(matches(entry, url)).toBe(false);
  });
});

test('one of several is enough, and none matches nothing', () => {
  expect(parseBypass(['a.io', 'b.io'])(new URL('https://b.io'))).toBe(true);
  expect(parseBypass([])(new URL('https://b.io'))).toBe(false);
});
