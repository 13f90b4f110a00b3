import { expect, test } from "bun:test";
import { ManualDriveClock } from "./clock.ts";
import { DriveBuffer } from "./pace.ts";

const MIB = 1024 * 1024;

function put(buffer: DriveBuffer, bytes: number): void {
  buffer.makeRoom(bytes);
  buffer.put(bytes);
}

test("without a pace and a buffer everything is on the medium at once and nobody waits", () => {
  const clock = new ManualDriveClock();
  const buffer = new DriveBuffer(clock, 0, 0);
  put(buffer, MIB);
  expect([buffer.records, buffer.bytes, clock.sleptMs]).toEqual([0, 0, 0]);
});

test("a stream runs at the pace once the buffer is full", () => {
  const clock = new ManualDriveClock();
  const buffer = new DriveBuffer(clock, 100 * MIB, 10 * MIB);
  for (let index = 0; index < 10; index++) put(buffer, MIB);
  expect(clock.sleptMs).toBe(0);
  expect(buffer.records).toBe(10);
  for (let index = 0; index < 100; index++) put(buffer, MIB);
  expect(clock.sleptMs).toBeCloseTo(1000, 6);
  expect(buffer.bytes).toBeLessThanOrEqual(10 * MIB);
  buffer.flush();
  expect(clock.sleptMs).toBeCloseTo(1100, 6);
  expect([buffer.records, buffer.bytes, buffer.idleMs]).toEqual([0, 0, 0]);
});

test("time in which the buffer was empty is lost: no catch-up credit", () => {
  const clock = new ManualDriveClock(1000);
  const buffer = new DriveBuffer(clock, 100 * MIB, 10 * MIB);
  put(buffer, 10 * MIB);
  clock.advance(600);
  put(buffer, 10 * MIB);
  expect(buffer.idleMs).toBeCloseTo(500, 6);
  const startMs = clock.nowMs();
  for (let index = 0; index < 10; index++) put(buffer, 10 * MIB);
  expect(clock.nowMs() - startMs).toBeCloseTo(1000, 6);
});

test("idle time counts as waiting only while data was there", () => {
  const clock = new ManualDriveClock(1000);
  const buffer = new DriveBuffer(clock, 100 * MIB, 10 * MIB);
  put(buffer, 10 * MIB);
  clock.advance(600);
  buffer.dataAvailableSinceMs = 1550;
  put(buffer, 10 * MIB);
  expect(buffer.idleMs).toBeCloseTo(500, 6);
  expect(buffer.idleWhileWaitingMs).toBeCloseTo(50, 6);
  clock.advance(200);
  buffer.dataAvailableSinceMs = clock.nowMs();
  put(buffer, MIB);
  expect(buffer.idleWhileWaitingMs).toBeCloseTo(50, 6);
});

test("standing still between streams is no loss", () => {
  const clock = new ManualDriveClock(1000);
  const buffer = new DriveBuffer(clock, 100 * MIB, 10 * MIB);
  put(buffer, MIB);
  buffer.flush();
  buffer.stop();
  clock.advance(5000);
  put(buffer, MIB);
  expect(buffer.idleMs).toBe(0);
});

test("a block larger than the buffer waits until its rest fits", () => {
  const clock = new ManualDriveClock();
  const buffer = new DriveBuffer(clock, 100 * MIB, MIB);
  put(buffer, 3 * MIB);
  expect(clock.sleptMs).toBeCloseTo(20, 6);
  expect(buffer.records).toBe(1);
});

test("filemarks cost nothing but stay behind the blocks before them", () => {
  const clock = new ManualDriveClock();
  const buffer = new DriveBuffer(clock, 100 * MIB, 10 * MIB);
  put(buffer, MIB);
  put(buffer, 0);
  expect(buffer.records).toBe(2);
  clock.advance(10);
  expect(buffer.records).toBe(0);
});

test("more records than expected are held in order", () => {
  const clock = new ManualDriveClock();
  const buffer = new DriveBuffer(clock, MIB, 10 * MIB);
  for (let index = 0; index < 5000; index++) put(buffer, 512);
  clock.advance((1000 * 512 * 1000) / MIB);
  expect(buffer.records).toBe(4000);
  buffer.discard();
  expect([buffer.records, buffer.bytes]).toEqual([0, 0]);
});

test("the tape starts when enough is in the buffer, or soon, or when it must", () => {
  for (const how of ["enough", "soon", "must"] as const) {
    const clock = new ManualDriveClock(1000);
    const buffer = new DriveBuffer(clock, 100 * MIB, 10 * MIB, 4 * MIB);
    put(buffer, 3 * MIB);
    clock.advance(50);
    expect(buffer.bytes).toBe(3 * MIB);
    if (how === "enough") put(buffer, MIB);
    if (how === "soon") clock.advance(50);
    const startMs = clock.nowMs();
    buffer.flush();
    expect(clock.nowMs() - startMs).toBeCloseTo(how === "enough" ? 40 : 30, 6);
    expect([buffer.bytes, buffer.idleMs]).toEqual([0, 0]);
  }
});
