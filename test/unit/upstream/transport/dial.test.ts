import { expect, test } from 'vitest';
import { classifyAddress, classifyHost } from '../../../../src/upstream/transport/dial.ts';

test.each([
  ['127.0.0.1', 'loopback'],
  ['127.255.255.254', 'loopback'],
  ['0.0.0.0', 'loopback'],
  ['::1', 'loopback'],
  ['::', 'loopback'],
  ['::ffff:127.0.0.1', 'loopback'],
  ['::ffff:7f00:1', 'loopback'],
  ['::127.0.0.1', 'loopback'],
  ['64:ff9b::127.0.0.1', 'loopback'],
  ['2002:7f00:1::', 'loopback'],
  ['0:0:0:0:0:ffff:7f00:0001', 'loopback'],
  ['169.254.169.254', 'link-local'],
  ['169.254.0.1', 'link-local'],
  ['::ffff:169.254.169.254', 'link-local'],
  ['2002:a9fe:a9fe:1::5', 'link-local'],
  ['100.100.100.200', 'link-local'],
  ['168.63.129.16', 'link-local'],
  ['168.63.129.17', 'other'],
  ['10.0.0.5', 'other'], // a registry of the LAN redirects to a store of the LAN
  ['::ffff:100.100.100.200', 'link-local'],
  ['192.0.0.192', 'link-local'],
  ['fe80::1', 'link-local'],
  ['fe80::1%eth0', 'link-local'],
  ['febf::1', 'link-local'],
  ['fd00:ec2::254', 'link-local'],
  ['FD00:0EC2:0:0:0:0:0:0254', 'link-local'],
  ['10.0.0.1', 'other'],
  ['192.168.1.1', 'other'],
  ['100.100.100.201', 'other'],
  ['93.184.216.34', 'other'],
  ['2606:4700::1', 'other'],
  ['fd00::1', 'other'],
  ['::ffff:8.8.8.8', 'other'],
  ['registry.test', 'other'],
])('%s is %s', (address, addressClass) => {
  expect(classifyAddress(address)).toBe(addressClass);
});

test.each([
  ['localhost', 'loopback'],
  ['registry.localhost', 'loopback'],
  ['[::1]', 'loopback'],
  ['127.0.0.1', 'loopback'],
  ['169.254.169.254', 'link-local'],
  ['mylocalhost', 'other'],
  ['registry.test', 'other'],
])('a configured %s is %s', (hostname, addressClass) => {
  expect(classifyHost(hostname)).toBe(addressClass);
});
