import { expect, test } from 'vitest';
import { parseRepository } from '../../../src/oci/name.ts';
import { pullScope } from '../../../src/oci/scope.ts';

test('a pull needs the scope of its repository, and pull alone', () => {
  expect(pullScope(parseRepository('library/alpine'))).toBe('repository:library/alpine:pull');
});
