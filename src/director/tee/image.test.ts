import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import * as at from "../../../wasm/ring/layout.ts";
import { putLocate10, putRewind, putWrite6, putWriteFilemarks } from "../../scsi/cdb.ts";
import { STATUS_GOOD } from "../../scsi/unit/task.ts";
import { alignToJournal } from "./align.ts";
import { BenchTop, MIB } from "./bench-top.fixture.ts";
import { setOnTape } from "./follower.ts";
import { JournalReader } from "./journal-reader.ts";

let top: BenchTop;
beforeEach(() => {
  top = new BenchTop();
});
afterEach(() => top.close());

function write(count: number, bytes = 4096): void {
  for (let seed = 0; seed < count; seed++) {
    const command = top.command((cdb) => putWrite6(cdb, bytes), bytes);
    top.send(command, bytes, seed);
    expect(command.status).toBe(STATUS_GOOD);
  }
}

function run(put: (cdb: Uint8Array) => unknown): void {
  const command = top.command(put);
  for (let n = 0; n < 3; n++) {
    top.runDrive();
    top.runCache();
  }
  expect(command.status).toBe(STATUS_GOOD);
}

describe("RED-21, RED-22: is the whole image of the loaded cartridge in the journal?", () => {
  const imageJ = () => top.device.wholeImage()?.J ?? null;

  test("from the first entry at position 0 on; a write there begins it anew, one in mid-tape does not", () => {
    expect(imageJ()).toBeNull();
    write(3);
    expect(top.device.wholeImage()).toEqual({ J: 0, sequence: 0 });
    run((cdb) => putWriteFilemarks(cdb, 1));
    run((cdb) => putLocate10(cdb, 2));
    write(1);
    expect(imageJ()).toBe(0);
    run((cdb) => putRewind(cdb));
    const J = top.device.get(at.RECEIVED);
    const sequence = top.device.get(at.SEQUENCE);
    write(1);
    expect(top.device.wholeImage()).toEqual({ J, sequence });
  });

  test("not where the cartridge was written before, nor after ERASE, nor when it has left", () => {
    write(3);
    run((cdb) => putLocate10(cdb, 1));
    const erase = top.command((cdb) => {
      cdb[0] = 0x19;
    });
    expect(imageJ()).toBeNull();
    top.runDrive();
    expect(erase.status).toBe(STATUS_GOOD);
    write(1); // at position 1: what is before it the journal no longer vouches for
    expect(imageJ()).toBeNull();
    run((cdb) => putRewind(cdb));
    write(1);
    expect(imageJ()).not.toBeNull();
    top.tee.unload();
    expect(imageJ()).toBeNull();
  });

  test("no longer when it has outgrown the cache, or the cache is lost", () => {
    write(1, MIB);
    const { device } = top;
    const received = device.get(at.RECEIVED);
    device.set(at.CACHE_BYTES, received);
    expect(imageJ()).toBe(0);
    device.set(at.CACHE_BYTES, received - 512);
    expect(imageJ()).toBeNull();
    device.set(at.CACHE_BYTES, received);
    device.setWord(at.CACHE_STATE, at.CACHE_LOST);
    expect(imageJ()).toBeNull();
  });
});

describe("RED-22 (632): a spare cartridge must be empty", () => {
  const verify = () => {
    const { device, drive, clock } = top;
    const request = { onTapeJ: 0, onTapePosition: 0, serial: "C001", empty: true, readyWithinMs: 1000 };
    return alignToJournal(
      device,
      drive,
      new JournalReader(device, null),
      request,
      () => {},
      () => clock.nowMs(),
    );
  };

  test("an empty one is taken; what the failed one held is no witness", () => {
    top.device.set(at.HISTORY_NEXT, 5);
    expect(verify()).toEqual({ kind: "verified", fromJ: 0, position: 0, compared: 0 });
    expect(top.device.get(at.HISTORY_NEXT)).toBe(0);
  });

  test("one that holds something is refused", () => {
    write(2);
    run((cdb) => putWriteFilemarks(cdb, 1));
    expect(verify()).toMatchObject({ kind: "failed", cause: "notEmpty" });
  });
});

describe("rule 8: a drive that was given up in a call", () => {
  test("moves no mark when the call comes back, and carries out nothing more", () => {
    write(3);
    const { device, follower } = top;
    device.setWord(at.FOLLOW_EPOCH, 1);
    const marks = () =>
      [at.TAKEN, at.ON_TAPE, at.HISTORY_NEXT, at.DRIVE_BLOCKS].map((mark) => device.get(mark));
    const before = marks();
    device.setFigure(at.DRIVE_CALL_SINCE_MS, 0);
    expect(follower.step()).toBe("abandoned");
    expect(follower.step()).toBe("abandoned");
    expect(marks()).toEqual(before);
    expect(follower.failure).toBeNull();
  });

  test("a journal that is gone through again asks again for its checkpoints", () => {
    top.device.set(at.WANT_CHECKPOINT, 4096);
    setOnTape(top.device, 0, 0, 0);
    top.follow(0, 0);
    expect(top.device.get(at.WANT_CHECKPOINT)).toBe(0);
  });
});
