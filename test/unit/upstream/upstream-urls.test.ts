/** The health of several URLs, told as that of one upstream. */
import { expect, test } from 'vitest';
import type { OriginHealth } from '../../../src/registry/origin.ts';
import type { Observer } from '../../../src/telemetry/observer.ts';
import { UrlHealth } from '../../../src/upstream/upstream-urls.ts';
import { Recorder } from '../../support/recorder.ts';

function rig() {
  const told: string[] = [];
  const observer: Observer = {
    ...new Recorder().observer,
    upstreamUp: (key, isUp) => told.push(`${key} up ${isUp}`),
    breakerOpen: (key, isOpen) => told.push(`${key} open ${isOpen}`),
  };
  const health = new UrlHealth('docker.io', observer, 2);
  return { health, told, one: health.observerOf(0), two: health.observerOf(1) };
}

function member(state: Partial<OriginHealth> & { until?: number } = {}): OriginHealth {
  return { away: false, quotaLow: false, pausedUntil: () => state.until, ...state };
}

test('it is down when all are, and up with the first that answers', () => {
  const { one, two, told } = rig();
  one.upstreamUp('docker.io', false);
  expect(told).toEqual([]);
  two.upstreamUp('docker.io', true);
  two.upstreamUp('docker.io', false);
  one.upstreamUp('docker.io', true);
  expect(told).toEqual(['docker.io up true', 'docker.io up false', 'docker.io up true']);
});

test('its breaker is open while all are', () => {
  const { one, two, told } = rig();
  one.breakerOpen('docker.io', true);
  two.breakerOpen('docker.io', true);
  one.breakerOpen('docker.io', false);
  two.breakerOpen('docker.io', false);
  expect(told).toEqual(['docker.io open true', 'docker.io open false']);
});

test('it is away when all are, and paused when all are that are not away', () => {
  const { health } = rig();
  health.watch([member({ away: true, quotaLow: true }), member({ until: 20 })]);
  expect([health.away, health.pausedUntil('manifest'), health.quotaLow]).toEqual([false, 20, false]);
  health.watch([member({ until: 30 }), member({ until: 20 })]);
  expect(health.pausedUntil('manifest')).toBe(20);
  health.watch([member({ until: 30, quotaLow: true }), member()]);
  expect([health.pausedUntil('manifest'), health.quotaLow]).toEqual([undefined, true]);
  health.watch([member({ away: true }), member({ away: true })]);
  expect([health.away, health.pausedUntil('manifest')]).toEqual([true, undefined]);
});
