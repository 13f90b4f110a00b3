/** @module A status for tests: one device streaming behind drive 1, a spare, nothing wrong. */
import type { DeviceStatus, DriveStatus, StatusFacts } from "../base/status.ts";

export function deviceFixture(change: Partial<DeviceStatus> = {}): DeviceStatus {
  return {
    name: "drive-1",
    lun: 1,
    serial: "UNDV000001",
    state: "Streaming",
    reason: null,
    drive: { id: 1, serial: "UNDD000001" },
    cartridge: {
      barcode: "UND001L8",
      serial: "C1",
      capacityBytes: 12e9,
      remainingBytes: 9e9,
      writeProtected: false,
    },
    marks: {
      received: { bytes: 3_000_000_000, blocks: 11_444 },
      cached: { bytes: 2_900_000_000, blocks: 11_062 },
      onTape: { bytes: 2_500_000_000, blocks: 9536 },
    },
    owedFilemarks: 0,
    follower: "ring",
    flow: "normal",
    rates: { host: 400e6, cache: 400e6, drive: 398e6 },
    hostStallMsMax: 12,
    driveIdleWhileWaitingMs: 0,
    ringBytes: 256 * 1024 * 1024,
    cache: {
      state: "healthy",
      parity: "one",
      capacityBytes: 2e9,
      pinnedBytes: 5e8,
      direct: true,
      members: [
        { path: "/a", state: "good" },
        { path: "/b", state: "good" },
        { path: "/c", state: "good" },
      ],
    },
    protects: { drive: true, cartridge: false },
    ...change,
  };
}

export function driveFixture(change: Partial<DriveStatus> = {}): DriveStatus {
  return {
    id: 1,
    serial: "UNDD000001",
    state: "coupled",
    device: "drive-1",
    cartridge: "UND001L8",
    failure: null,
    faults: [],
    ...change,
  };
}

export function statusFixture(change: Partial<StatusFacts> = {}): StatusFacts {
  return {
    version: "0.1.0",
    state: "running",
    startedMs: 1_767_225_600_000,
    atMs: 1_767_225_661_000,
    stateDirectory: "/var/lib/understudy",
    iscsi: { host: "127.0.0.1", port: 3260, targetName: "iqn.2026-01.org.understudy:library" },
    devices: [deviceFixture()],
    drives: [
      driveFixture(),
      driveFixture({ id: 2, serial: "UNDD000002", state: "spare", device: null, cartridge: null }),
    ],
    standIns: [],
    sessions: [
      { id: 1, kind: "normal", initiatorName: "iqn.x:y", address: "127.0.0.1", sinceMs: 1_767_225_602_000 },
    ],
    ...change,
  };
}
