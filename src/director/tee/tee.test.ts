import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import * as at from "../../../wasm/ring/layout.ts";
import {
  putLocate10,
  putRead6,
  putReadPosition,
  putRewind,
  putSpace6,
  putWrite6,
  putWriteFilemarks,
} from "../../scsi/cdb.ts";
import { parseReadPositionShort, TapePosition } from "../../scsi/unit/tape-position.ts";
import { STATUS_BUSY, STATUS_CHECK_CONDITION, STATUS_GOOD } from "../../scsi/unit/task.ts";
import { BenchTop, type BenchTopOptions, type HostCommand, MIB } from "./bench-top.fixture.ts";

let top: BenchTop;
function open(options: BenchTopOptions = {}): void {
  top?.close();
  top = new BenchTop(options);
}
beforeEach(() => open());
afterEach(() => top.close());

function write(bytes: number, seed: number): HostCommand {
  const command = top.command((cdb) => putWrite6(cdb, bytes), bytes);
  if (command.placed) top.send(command, bytes, seed);
  return command;
}
const filemarks = (count: number, immediate = false) =>
  top.command((cdb) => putWriteFilemarks(cdb, count, immediate));
const read = (bytes: number) => {
  const command = top.command((cdb) => putRead6(cdb, bytes), 0, bytes);
  top.runDrive();
  return command;
};
/** Reads a block and takes it. */
const reads = (bytes: number, seed: number) => {
  const command = read(2 * MIB);
  const same = top.holds(command, bytes, seed);
  top.taken(command);
  return same;
};
const run = (put: (cdb: Uint8Array) => unknown) => {
  const command = top.command(put);
  top.runDrive();
  top.runCache();
  top.runDrive();
  return command;
};
function position(): TapePosition {
  const command = top.command((cdb) => putReadPosition(cdb), 0, 20);
  const found = new TapePosition();
  expect(parseReadPositionShort(command.task.parameters.subarray(0, 20), found)).toBe(true);
  return found;
}

describe("the tee", () => {
  test("RED-02, RED-04: blocks and filemarks reach the tape as the host sent them, and read back the same", () => {
    const sizes = [1, 512, 513, 65536, 262144, MIB];
    for (const [seed, bytes] of sizes.entries()) expect(write(bytes, seed).status).toBe(STATUS_GOOD);
    const barrier = filemarks(2);
    expect(barrier.done).toBe(false);
    top.runDrive();
    top.runCache();
    expect(barrier.status).toBe(STATUS_GOOD);
    expect(barrier.done).toBe(true);
    expect(run(putRewind).status).toBe(STATUS_GOOD);
    for (const [seed, bytes] of sizes.entries()) {
      expect(reads(bytes, seed)).toBe(true);
    }
    expect(read(MIB).sense.filemark).toBe(true);
    expect(position().first).toBe(sizes.length + 1);
  });

  test("RED-17a: GOOD is held back while there is no room for the next block, and given when the drive took one", () => {
    let held: HostCommand | null = null;
    for (let n = 0; n < 20 && held === null; n++) {
      const command = write(MIB, n);
      if (!command.done) held = command;
    }
    expect(held).not.toBeNull();
    top.runDrive();
    expect(held?.done).toBe(false); // the cache has not got it yet
    top.runCache();
    expect(held?.status).toBe(STATUS_GOOD);
    expect(held?.done).toBe(true);
  });

  test("the host runs ahead of the drive by no more than the lag that is set", () => {
    open({ hostLagBytes: 2 * MIB });
    let given = 0;
    while (given < 20 && write(256 * 1024, given).done) given++;
    const aheadBytes = top.device.get(at.RECEIVED) - top.device.get(at.TAKEN);
    expect(aheadBytes).toBeGreaterThan(1 * MIB);
    expect(aheadBytes).toBeLessThan(3 * MIB);
    top.runDrive();
    top.runCache();
    expect(write(1000, 99).done).toBe(true);
  });

  test("RED-17b: while transfer is suspended a write gets no place (no R2T); it gets one when transfer goes on", () => {
    top.setFlow(at.FLOW_SUSPENDED);
    const command = top.command((cdb) => putWrite6(cdb, 65536), 65536);
    expect(command.placed).toBe(false);
    top.setFlow(at.FLOW_REDUCED);
    expect(command.placed).toBe(true);
  });

  test("rule 9: behind a barrier the stripe is filled up before the next write gets a place", () => {
    write(1000, 1);
    filemarks(1);
    const stripeBytes = top.device.get(at.STRIPE_BYTES);
    expect(top.device.get(at.RECEIVED)).toBe(stripeBytes);
    const next = write(1000, 2);
    expect(next.task.entryOffset).toBe(stripeBytes);
  });

  test("a synchronising filemark waits for the cache and for the tape, whichever is last", () => {
    write(1000, 1);
    const barrier = filemarks(1);
    top.runCache();
    expect(barrier.done).toBe(false);
    top.runDrive();
    expect(barrier.status).toBe(STATUS_GOOD);
    expect(barrier.done).toBe(true);
  });

  test("RED-09: during a failover the cache's word is enough for a filemark, and it is owed", () => {
    write(1000, 1);
    const barrier = filemarks(1);
    top.device.setWord(at.FOLLOWER, at.FOLLOWER_DISK);
    top.setFlow(at.FLOW_REDUCED);
    expect(barrier.done).toBe(false);
    top.runCache();
    expect(barrier.done).toBe(true);
    expect(barrier.status).toBe(STATUS_GOOD);
    expect(top.device.get(at.OWED)).toBeGreaterThan(top.device.get(at.ON_TAPE));
  });

  test("RED-09: at the reduced rate GOOD comes no faster than the rate", () => {
    top.device.setFigure(at.FLOW_RATE, 1e6);
    top.setFlow(at.FLOW_REDUCED);
    expect(write(500_000, 1).done).toBe(true);
    const second = write(500_000, 2);
    expect(second.done).toBe(false);
    expect(top.tee.waitsMs()).toBeCloseTo(500, -1);
    top.clock.advance(501);
    top.tee.advance();
    expect(second.done).toBe(true);
  });

  test("RED-10: while the device must not take more, a new write is BUSY; one that has its place goes on", () => {
    const placed = top.command((cdb) => putWrite6(cdb, 1000), 1000);
    top.setFlow(at.FLOW_BUSY);
    expect(write(1000, 2).done).toBe(false); // in order: behind the one that is still receiving
    top.send(placed, 1000, 1);
    expect(placed.status).toBe(STATUS_GOOD);
    expect(write(1000, 3).status).toBe(STATUS_BUSY);
  });

  test("RED-19, 609: the next command hears the drive's own sense, deferred, then plain failure; nothing is claimed", () => {
    write(1000, 1);
    const barrier = filemarks(1);
    top.setFlow(at.FLOW_REPORT);
    expect(barrier.done).toBe(false); // the drive's own sense is on its way
    top.tee.reportFailure({ key: 4, asc: 0x44, ascq: 0 }, [30]);
    expect([top.tee.takeTapeAlerts(), top.tee.takeTapeAlerts()]).toEqual([[30], []]);
    expect(barrier.status).toBe(STATUS_CHECK_CONDITION);
    expect(barrier.sense).toMatchObject({ key: 4, asc: 0x44, deferred: true });
    const next = top.command((cdb) => putWrite6(cdb, 1000), 1000);
    expect(next.sense).toMatchObject({ key: 4, asc: 0x44, deferred: false });
    expect(position().blocksInBuffer).toBe(2);
  });

  test("rule 2: READ POSITION says what is not on tape", () => {
    for (let n = 0; n < 3; n++) write(1000, n);
    expect(position()).toMatchObject({ first: 3, last: 0, blocksInBuffer: 3 });
    filemarks(1);
    top.runDrive();
    expect(position()).toMatchObject({ first: 4, last: 4, blocksInBuffer: 0 });
  });

  test("RED-05: early warning when less than the pad remains, though the drive is behind; overflow at the end", () => {
    open({ capacityBytes: 1_000_000, padBytes: 300_000 });
    for (let n = 0; n < 7; n++) expect(write(100_000, n).status).toBe(STATUS_GOOD);
    const warned = write(100_000, 7);
    expect(warned.status).toBe(STATUS_CHECK_CONDITION);
    expect(warned.sense).toMatchObject({ key: 0, asc: 0, ascq: 2, eom: true });
    write(100_000, 8);
    write(100_000, 9);
    const over = write(100_000, 10);
    expect(over.sense).toMatchObject({ key: 0xd, eom: true });
    expect(position().first).toBe(10);
  });

  test("an aborted write leaves no trace; those behind it keep their order", () => {
    const aborted = top.command((cdb) => putWrite6(cdb, 3000), 3000);
    const second = top.command((cdb) => putWrite6(cdb, 1000), 1000);
    top.send(second, 1000, 2);
    expect(second.done).toBe(false);
    top.unit.abort(aborted.task);
    expect(second.status).toBe(STATUS_GOOD);
    filemarks(1);
    top.runDrive();
    top.runCache();
    run(putRewind);
    expect(reads(1000, 2)).toBe(true);
  });

  test("writing in mid-tape ends the tape there, command for command (rule 1)", () => {
    for (let n = 0; n < 5; n++) write(1000, n);
    run((cdb) => putLocate10(cdb, 2));
    write(700, 99);
    filemarks(1);
    top.runDrive();
    top.runCache();
    run(putRewind);
    for (const seed of [0, 1]) expect(reads(1000, seed)).toBe(true);
    expect(reads(700, 99)).toBe(true);
    expect(read(5000).sense.filemark).toBe(true);
    expect(run((cdb) => putSpace6(cdb, 3, 0)).status).toBe(STATUS_GOOD);
    expect(position().first).toBe(4);
  });

  test("rule 7: after a restart writes are refused until the host positions", () => {
    top.tee.tape.mustPosition = true;
    const refused = write(1000, 1);
    expect(refused.sense).toMatchObject({ key: 3, asc: 0x3b });
    expect(run(putRewind).status).toBe(STATUS_GOOD);
    expect(write(1000, 1).status).toBe(STATUS_GOOD);
  });

  test("rule 12: while the cartridge leaves nothing is taken; what came meanwhile meets an empty drive", () => {
    write(1000, 1);
    filemarks(1);
    top.runDrive();
    top.runCache();
    top.runDrive();
    expect(top.tee.settled).toBe(true);
    top.tee.setDeparting(true);
    const late = top.command((cdb) => putWrite6(cdb, 1000), 1000);
    expect(late.placed).toBe(false);
    expect(late.done).toBe(false);
    top.tee.unload();
    top.tee.setDeparting(false);
    top.send(late, 1000, 2);
    expect(late.sense).toMatchObject({ key: 2, asc: 0x3a });
    expect(top.device.get(at.HOST_BLOCKS)).toBe(1);
  });

  test("a drive that cannot say where it stands behind a movement has failed: the order is carried out by the next", () => {
    for (let n = 0; n < 4; n++) write(1000, n);
    filemarks(1);
    top.runDrive();
    top.runCache();
    run(putRewind);
    top.transport.faults.arm({
      when: { command: "readPosition", number: 1 },
      what: { kind: "sense", key: 4, asc: 0x44, ascq: 0, deferred: false, loseBuffer: false },
    });
    const space = top.command((cdb) => putSpace6(cdb, 3, 0));
    top.runDrive();
    expect(space.done).toBe(false);
    expect(top.follower.failure?.operation).toBe("read position");
    top.transport.faults.clear(); // "another drive", at the confirmed place
    top.follower = top.follow(top.device.get(at.RECEIVED), -1);
    top.runDrive();
    expect(space.status).toBe(STATUS_GOOD);
    expect(position().first).toBe(5);
  });

  test("a stop with data that no drive takes leaves it in whole stripes", () => {
    write(1000, 1);
    top.tee.fillStripe();
    const stripeBytes = top.device.get(at.STRIPE_BYTES);
    expect(top.device.get(at.RECEIVED) % stripeBytes).toBe(0);
    top.runDrive();
    top.tee.fillStripe();
    expect(top.device.get(at.RECEIVED)).toBe(stripeBytes); // nothing is owed: nothing is filled up
  });

  test("two reads on their way to the host do not share their place; the third waits for one to be sent", () => {
    for (let n = 0; n < 3; n++) write(1000, n);
    filemarks(1);
    top.runDrive();
    top.runCache();
    run(putRewind);
    const first = read(2000);
    const second = read(2000);
    expect(top.holds(first, 1000, 0)).toBe(true);
    expect(top.holds(second, 1000, 1)).toBe(true);
    const third = read(2000);
    expect(third.done).toBe(false);
    top.taken(first);
    top.tee.advance();
    top.runDrive();
    expect(top.holds(third, 1000, 2)).toBe(true);
    expect(top.holds(second, 1000, 1)).toBe(true);
  });

  test("rule 4: a deferred error stops the follower; the mark on tape stays at what the drive had confirmed", () => {
    open({ paceBytesPerSecond: 1e6 });
    write(65536, 1);
    filemarks(1);
    top.runDrive();
    const confirmed = top.device.get(at.ON_TAPE);
    expect(confirmed).toBeGreaterThan(0);
    top.transport.faults.arm({
      when: { command: "write", number: 1 },
      what: { kind: "sense", key: 4, asc: 0x44, ascq: 0, deferred: true, loseBuffer: true },
    });
    write(65536, 2);
    top.runDrive();
    expect(top.follower.failure?.outcome).toBe("deferredError");
    expect(top.device.get(at.ON_TAPE)).toBe(confirmed);
  });

  test("an order survives its drive: the next one carries it out", () => {
    write(1000, 5);
    filemarks(1);
    top.runDrive();
    top.runCache();
    top.transport.faults.arm({
      when: { command: "rewind", number: 1 },
      what: { kind: "sense", key: 4, asc: 0x44, ascq: 0, deferred: false, loseBuffer: false },
    });
    const rewind = top.command(putRewind);
    top.runDrive();
    expect(top.follower.failure?.operation).toBe("order");
    expect(rewind.done).toBe(false);
    top.transport.faults.clear(); // "another drive", at the confirmed place
    top.follower = top.follow(top.device.get(at.RECEIVED), 2);
    top.runDrive();
    expect(rewind.status).toBe(STATUS_GOOD);
    expect(reads(1000, 5)).toBe(true);
  });
});
