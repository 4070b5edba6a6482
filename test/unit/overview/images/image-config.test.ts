import { expect, test } from 'vitest';
import { makersOfLayers, readConfig } from '../../../../src/overview/images/image-config.ts';

test('what another program wrote is read field by field, and what does not fit is left out', () => {
  const read = readConfig({
    architecture: 'amd64',
    created: 7,
    config: {
      Env: ['A=1', 2, null],
      Entrypoint: '/bin/app',
      ExposedPorts: ['80'],
      Volumes: { '/data': {} },
      Labels: { a: 'b', c: 1, __proto__: { d: 'e' } },
    },
    history: [{ created_by: 'x'.repeat(10_000), empty_layer: 'yes' }, null, 'no step'],
  });
  expect(read?.config).toMatchObject({
    createdAt: null,
    env: ['A=1'],
    entrypoint: ['/bin/app'],
    ports: [],
    volumes: ['/data'],
    labels: { a: 'b' },
  });
  expect(read?.history.map(({ createdBy, emptyLayer }) => [createdBy?.length ?? null, emptyLayer])).toEqual([
    [4097, false],
    [null, false],
    [null, false],
  ]);
});

test.each([undefined, null, 'text', [], {}, { config: {} }])('%j is no config of an image', value => {
  expect(readConfig(value)).toBeUndefined();
});

test('a layer has the step that made it, where the steps fit the layers', () => {
  const step = (createdBy: string, emptyLayer = false) => ({
    createdAt: null,
    createdBy,
    comment: null,
    emptyLayer,
  });
  const history = [step('ADD'), step('ENV', true), step('RUN')];
  expect(makersOfLayers(history, 2)).toEqual(['ADD', 'RUN']);
  expect(makersOfLayers(history, 3)).toEqual([null, null, null]);
});
