import { describe, expect, test } from "bun:test";
import { GIB, KIB, MIB } from "../base/units.ts";
import {
  floorBytesPerSecond,
  mustBeBusy,
  type RecoverySettings,
  reducedBytesPerSecond,
  roomBytes,
} from "./rate.ts";

const settings: RecoverySettings = {
  cartridgeBytes: 100 * GIB,
  cacheBytes: 400 * GIB,
  beyondCartridge: false,
  driveBytesPerSecond: 300 * MIB,
  switchMs: 180_000,
  hostTimerMs: 900_000,
  blockBytesMax: 256 * KIB,
  commandsMax: 32,
};

/** Lets the host send at the rate given until replay has caught up; returns what arrived. */
function arrivesUntilRecovered(of: RecoverySettings, backlogBytes: number): number {
  const stepMs = 1000;
  let arrived = 0;
  let backlog = backlogBytes;
  for (let nowMs = 0; nowMs < 100 * 24 * 3600 * 1000; nowMs += stepMs) {
    const switchLeftMs = Math.max(0, of.switchMs - nowMs);
    const load = { arrivedBytes: arrived, backlogBytes: backlog, switchLeftMs, driveBytesPerSecond: null };
    const got = (reducedBytesPerSecond(of, load) * stepMs) / 1000;
    arrived += got;
    backlog += got;
    if (switchLeftMs === 0) backlog -= (of.driveBytesPerSecond * stepMs) / 1000;
    if (backlog <= 0) return arrived;
  }
  return Number.POSITIVE_INFINITY;
}

describe("RED-09 (51, step 611): the reduced rate", () => {
  test("recovery ends before a cartridge's worth has arrived, whatever the sizes", () => {
    for (const cartridgeBytes of [2 * GIB, 10 * GIB, 12_000 * GIB])
      for (const backlogBytes of [0, 64 * MIB, 8 * GIB])
        for (const switchMs of [1000, 60_000, 600_000]) {
          const of = { ...settings, cartridgeBytes, cacheBytes: 20_000 * GIB, switchMs };
          expect(arrivesUntilRecovered(of, backlogBytes)).toBeLessThan(cartridgeBytes);
        }
  });

  test("it is below the drive's, so that it catches up, and falls as room is used up", () => {
    const load = { arrivedBytes: 0, backlogBytes: GIB, switchLeftMs: 60_000, driveBytesPerSecond: null };
    const fresh = reducedBytesPerSecond(settings, load);
    expect(fresh).toBeLessThan(settings.driveBytesPerSecond);
    expect(fresh).toBeGreaterThan(50 * MIB);
    expect(reducedBytesPerSecond(settings, { ...load, arrivedBytes: 90 * GIB })).toBeLessThan(fresh);
    expect(reducedBytesPerSecond(settings, { ...load, driveBytesPerSecond: 10 * MIB })).toBeLessThan(fresh);
  });

  test("the floor keeps every command under way well inside the host's timer", () => {
    const full = { arrivedBytes: 100 * GIB, backlogBytes: 0, switchLeftMs: 0, driveBytesPerSecond: null };
    const rate = reducedBytesPerSecond(settings, full);
    expect(rate).toBe(floorBytesPerSecond(settings));
    const slowestMs = (settings.commandsMax * settings.blockBytesMax * 1000) / rate;
    expect(slowestMs).toBeLessThanOrEqual(settings.hostTimerMs / 10);
  });
});

describe("RED-10 (32-33, 51): BUSY", () => {
  const load = { arrivedBytes: 0, backlogBytes: 0, switchLeftMs: 0, driveBytesPerSecond: null };

  test("a cartridge's worth, until recovered", () => {
    expect(mustBeBusy(settings, { ...load, arrivedBytes: 100 * GIB - 1 }, false)).toBe(false);
    expect(mustBeBusy(settings, { ...load, arrivedBytes: 100 * GIB }, false)).toBe(true);
    expect(mustBeBusy(settings, { ...load, arrivedBytes: 100 * GIB }, true)).toBe(true);
  });

  test("the cache's own limit, with room kept for what is under way; off again when a tenth is free", () => {
    const full = { ...load, backlogBytes: settings.cacheBytes - 8 * MIB };
    expect(mustBeBusy(settings, full, false)).toBe(true);
    const nearly = { ...load, backlogBytes: settings.cacheBytes * 0.95 };
    expect(mustBeBusy(settings, nearly, false)).toBe(false);
    expect(mustBeBusy(settings, nearly, true)).toBe(true);
    expect(mustBeBusy(settings, { ...load, backlogBytes: settings.cacheBytes * 0.85 }, true)).toBe(false);
  });

  test("RED-32 (51): beyond a cartridge's worth, where the setting and the cache allow it", () => {
    const beyond = { ...settings, beyondCartridge: true };
    const arrived = { ...load, arrivedBytes: 150 * GIB, backlogBytes: 150 * GIB };
    expect(mustBeBusy(settings, arrived, false)).toBe(true);
    expect(mustBeBusy(beyond, arrived, false)).toBe(false);
    expect(roomBytes(beyond, arrived)).toBeGreaterThan(200 * GIB);
    expect(roomBytes(settings, arrived)).toBe(0);
  });
});
